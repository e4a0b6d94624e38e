"""What a generation's configurations become when training them raises or runs out of memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

from pawl.errors import PawlError, first_line
from pawl.execution import Heartbeat, Plan
from pawl.search.halving import Searched, run_generation
from pawl.search.space import Params
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.run import Outcome


def run_or_record(
    problem: Problem,
    choose: Callable[[], Plan],
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
        choose: Returns how to train; if it raises, so would every configuration.
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
    try:
        plan = choose()
    except PawlError:
        raise
    except Exception as error:
        return [_failed(pair, error) for pair in source]
    width = min(width, plan.width)
    while True:
        waiting = itertools.chain(tuple(drawn), source)
        try:
            return run_generation(problem, plan, waiting, width, heartbeat=heartbeat)
        except PawlError:
            raise
        except (MemoryError, torch.OutOfMemoryError):
            if width == 1:
                break
            width //= 2
        except Exception:
            break
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
            done.append(_failed(pair, error))
    return done


def _failed(pair: tuple[Params, Member], error: Exception) -> Searched:
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    reason = "out of memory" if out_of_memory else f"{type(error).__name__}: {first_line(error)}"
    outcome = Outcome(
        member=pair[1], status="failed", score=None, steps=0, curve=(), seconds=0.0, reason=reason
    )
    return Searched(pair[0], outcome, {})
