"""One generation: a population whose members are judged at rungs, with places refilled.

All members of a generation have one structure. When a configuration reaches a rung, a scheduler says by
the scores there whether it goes on; if not it is pruned, and the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence

from pawl.execution import Heartbeat, Plan
from pawl.search.seat import Seat
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Run


def run_generation(
    problem: Problem, plan: Plan, seat: Seat, width: int, *, heartbeat: Heartbeat
) -> None:
    """Trains what waits and what the board gives until there is nothing more and all have ended.

    Args:
        problem: The task.
        plan: How to train.
        seat: Whose configurations; has the outcomes afterwards.
        width: How many configurations train at once.
        heartbeat: Called every few steps; what it raises, or a member, leaves the others in training.
    """
    heartbeat()
    seat.exchange(width)
    fresh = seat.fill(width)
    while seat.training:
        run = _placed(problem, plan, seat, fresh)
        before = int(run.population.step[0])
        evaluated = run.segment(heartbeat)
        seat.step += int(run.population.step[0]) - before
        leaving = seat.leaving()
        _note(seat, run, [i for i in evaluated if i not in leaving])
        due = run.until_due().tolist()
        stays = [i for i in range(len(seat.training)) if i not in leaving]
        following = seat.step + min((due[i] for i in stays), default=1)
        over = seat.release(leaving)
        left = seat.configurations
        found = {each.number: each.reached() for each in left}
        reached = {number: rung for number, rung in found.items() if rung is not None}
        pruned = seat.exchange(over, len(left), following, reached)
        if seat.child is None:
            over += seat.release(dict.fromkeys(seat.positions(pruned), "pruned"))
        else:
            seat.exploit(sorted(pruned), reached)
        fresh = seat.fill(over)


def _note(seat: Seat, run: Run, evaluated: Sequence[int]) -> None:
    """Notes the rungs that members have passed."""
    scores = run.scores()
    for i in evaluated:
        rung = rung_passed(*_shares(run, i), seat.shares)
        if rung is not None:
            each, fold = seat.training[i]
            each.passed.setdefault(rung, {})[fold] = scores[i]


def rung_passed(before: float, after: float, shares: Sequence[float]) -> int | None:
    """Returns the rung that a member passes between two shares of its trial, or `None`."""
    passed = [i for i, share in enumerate(shares) if before < share <= after + 1e-9]
    return passed[-1] if passed else None


def _placed(problem: Problem, plan: Plan, seat: Seat, fresh: Sequence[Member]) -> Run:
    """Returns the run with fresh members in it, of which the board is told when they are evaluated."""
    if seat.run is None or not len(seat.run.population):
        seat.run = Run(Population(problem, fresh, plan.stepper(len(fresh))))
    elif fresh:
        seat.run.admit(fresh)
    if fresh:
        seat.exchange(0, following=seat.step + int(seat.run.until_due().min()))
    return seat.run


def _shares(run: Run, member: int) -> tuple[float, float]:
    """Returns which shares of its trial a member had done at its last two evaluations."""
    total, curve = int(run.population.total[member]), run.curves[member]
    before = curve[-2].step if len(curve) > 1 else 0
    return before / total, curve[-1].step / total
