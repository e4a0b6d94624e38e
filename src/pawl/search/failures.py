"""What a generation's configurations become when training them raises or runs out of memory."""

from __future__ import annotations

from pawl.errors import PawlError
from pawl.execution import Heartbeat, PassedOn, Plan, failed, out_of_memory, reason_of
from pawl.search.generation import run_generation
from pawl.search.seat import Configuration, Searched, Seat
from pawl.training.problem import Problem


def run_or_record(
    problem: Problem, plan: Plan, seat: Seat, width: int, *, heartbeat: Heartbeat
) -> list[Searched]:
    """Trains a generation as `run_generation` does; what a trial raises is an outcome with its reason.

    A population that runs out of memory starts again at half its width. When anything else raises,
    configurations are trained one by one from there on, so that only those fail that raise.

    Args:
        problem: The task.
        plan: How to train.
        seat: Whose configurations.
        width: Most configurations that train at once.
        heartbeat: Called every few steps. When it raises `StopIteration`, members still in training
            end as pruned, and those not evaluated even once are left out of the result.

    Raises:
        PawlError: What is wrong with the task, not with a trial.
        Exception: What else the heartbeat raised.
    """
    try:
        with PassedOn(heartbeat) as beat:
            _run(problem, plan, seat, min(width, max(1, plan.width // seat.folds)), beat)
    except StopIteration:  # the heartbeat's: what a trial raises ends in `_run`
        seat.release(dict.fromkeys(seat.begun(), "pruned"))
    return seat.done


def _run(problem: Problem, plan: Plan, seat: Seat, width: int, beat: Heartbeat) -> None:
    while True:
        try:
            return run_generation(problem, plan, seat, width, heartbeat=beat)
        except PawlError:
            raise
        except Exception as error:
            vacated = seat.vacate()
            if not vacated:  # no trial raised it
                raise
            if width == 1:
                seat.done += [refused(each, error) for each in vacated]
            else:
                seat.waiting = vacated + seat.waiting
            width = max(1, width // 2) if out_of_memory(error) else 1


def refused(configuration: Configuration, error: Exception) -> Searched:
    """Returns a configuration that could not be trained, with the reason."""
    reason = reason_of(error)
    return configuration.searched([failed(each, reason) for each in configuration.members])
