"""What a generation's configurations become when training them raises or runs out of memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pawl.errors import PawlError
from pawl.execution import Heartbeat, Plan, failed, out_of_memory, reason_of
from pawl.search.halving import Searched, run_generation
from pawl.search.space import Params
from pawl.training.population import Member
from pawl.training.problem import Problem


def run_or_record(
    problem: Problem,
    plan: Plan,
    members: Iterator[tuple[Params, Member]],
    width: int,
    *,
    heartbeat: Heartbeat,
) -> list[Searched]:
    """Trains a generation as `run_generation` does; what raises is an outcome with its reason.

    A population that runs out of memory starts again at half its width. When anything else raises,
    the configurations are trained one by one, so that only those fail that raise.

    Args:
        problem: The task.
        plan: How to train.
        members: Configurations, in order.
        width: Most places.
        heartbeat: Called between segments; may raise `StopIteration`.

    Raises:
        PawlError: What is wrong with the task, not with a trial.
    """
    drawn: list[tuple[Params, Member]] = []

    def remembered() -> Iterator[tuple[Params, Member]]:
        for pair in members:
            drawn.append(pair)
            yield pair

    source = remembered()
    width = min(width, plan.width)
    while True:
        waiting = itertools.chain(tuple(drawn), source)
        try:
            return run_generation(problem, plan, waiting, width, heartbeat=heartbeat)
        except PawlError:
            raise
        except Exception as error:
            if width == 1 or not out_of_memory(error):
                break
            width //= 2
    done: list[Searched] = []
    for pair in itertools.chain(tuple(drawn), source):
        try:
            heartbeat()
            done += run_generation(problem, plan, iter([pair]), 1, heartbeat=heartbeat)
        except StopIteration:
            break
        except PawlError:
            raise
        except Exception as error:
            done.append(refused(pair, error))
    return done


def refused(pair: tuple[Params, Member], error: Exception) -> Searched:
    """Returns a configuration that could not be trained, with the reason."""
    return Searched(pair[0], failed(pair[1], reason_of(error)), {})
