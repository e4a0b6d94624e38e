"""One generation: a population whose members are judged at rungs, with places refilled.

All members of a generation have one structure. When a member reaches a rung, a scheduler says by the
scores there whether it goes on; if not it is pruned, and the next configuration takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pawl import rng
from pawl.execution import Heartbeat, Plan
from pawl.search.board import Answer, Report
from pawl.search.pbt import parents
from pawl.search.protocols import Params
from pawl.search.schedulers import Child, Halving
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Outcome, Run, Status


@dataclass(frozen=True, eq=False)
class Searched:
    """A configuration and how it ended.

    Attributes:
        number: Its number in the generation.
        params: Its point; of one that followed another, that one's.
        outcome: How its training ended.
        rungs: Its scores at the rungs it reached.
        history: Whom it followed, at which share of its trial.
    """

    number: int
    params: Params
    outcome: Outcome
    rungs: dict[int, float]
    history: tuple[dict[str, float], ...] = ()


@dataclass(eq=False)
class Configuration:
    """A configuration of a generation, as in `Searched`."""

    number: int
    params: Params
    member: Member
    rungs: dict[int, float] = field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()
    inherited: Params | None = None

    @property
    def point(self) -> Params:
        """Its point, or that of the one that it followed."""
        return self.params if self.inherited is None else self.inherited

    def ended(self, outcome: Outcome) -> Searched:
        """Returns how it ended."""
        return Searched(self.number, self.point, outcome, self.rungs, self.history)


class Seat:
    """One worker's side of a generation.

    Args:
        ask: Takes a report to the board.
        make: Makes the member of a numbered point.
        shares: At which shares of a trial's epochs members are judged, one for each rung.
        child: How a member that does not go on follows a better one; `None` if it is pruned.

    Attributes:
        waiting: Configurations without a place, in order.
        training: Those with a place, by position in the population.
        done: Those that have ended.
        run: The population's run, once there is one.
        step: Steps that it has taken, those of its predecessors included.
    """

    def __init__(
        self,
        ask: Callable[[Report], Answer],
        make: Callable[[int, Params], Member],
        shares: Sequence[float] = Halving().shares,
        child: Child | None = None,
    ) -> None:
        self.shares, self.child = shares, child
        self._ask, self._make = ask, make
        self._following = 0
        self.waiting: list[Configuration] = []
        self.training: list[Configuration] = []
        self.done: list[Searched] = []
        self.run: Run | None = None
        self.step = 0

    def exchange(
        self,
        free: int,
        staying: int = 0,
        following: int | None = None,
        reached: Mapping[int, tuple[int, float]] | None = None,
    ) -> frozenset[int]:
        """Reports to the board, takes what is new, and returns the numbers of those to prune.

        Args:
            free: Free places.
            staying: Members that stay unless they are pruned now.
            following: Step of their next evaluation.
            reached: Rungs that members have just reached, and their scores there, by number.
        """
        self._following = self.step + 1 if following is None else following
        free -= len(self.waiting)
        report = Report(self.step, self._following, dict(reached or {}), free, staying)
        answer = self._ask(report)
        self.waiting += [Configuration(n, p, self._make(n, p)) for n, p in answer.fresh]
        return answer.pruned

    def fill(self, places: int) -> list[Configuration]:
        """Gives places to those that wait, and returns them."""
        fresh, self.waiting = self.waiting[:places], self.waiting[places:]
        self.training += fresh
        return fresh

    def begun(self) -> list[int]:
        """Returns the positions of the members that were evaluated at least once."""
        return [i for i, curve in enumerate(self.run.curves) if curve] if self.run else []

    def release(self, which: dict[int, Status]) -> None:
        """Notes how members ended, by position, and frees their places."""
        if not which:
            return
        assert self.run is not None
        for i, outcome in zip(sorted(which), self.run.release(which), strict=True):
            self.done.append(self.training[i].ended(outcome))
        self.training = [each for i, each in enumerate(self.training) if i not in which]

    def exploit(self, losers: Sequence[int], reached: Mapping[int, tuple[int, float]]) -> None:
        """Makes members copies of better ones, each with a recipe of its own from here on.

        Args:
            losers: Their positions.
            reached: By position, the rung that a member has just reached and its score there.
        """
        assert self.run is not None
        assert self.child is not None
        scores = {i: score for i, (_, score) in reached.items()}
        able = parents(scores, losers)
        for i in losers if able else ():
            mine, population = self.training[i], self.run.population
            seed = rng.derive_seed("exploit", mine.member.seed, reached[i][0])
            source = able[seed % len(able)]
            theirs = self.training[source]
            share = int(population.step[source]) / int(population.total[source])
            recipe = self.child(population.members[source].recipe, share, seed)
            self.run.inherit(source, i, recipe)
            mine.inherited, mine.rungs = theirs.point, dict(theirs.rungs)
            mine.history = (*theirs.history, {"share": share, "from": theirs.number})

    def vacate(self) -> list[Configuration]:
        """Frees all places, whose members have not ended, and returns who had them."""
        vacated, self.training, self.run = self.training, [], None
        for each in vacated:
            each.rungs, each.history, each.inherited = {}, (), None
        self.step = max(self.step, self._following)  # the board was told to expect nothing sooner
        return vacated


def run_generation(
    problem: Problem, plan: Plan, seat: Seat, width: int, *, heartbeat: Heartbeat
) -> None:
    """Trains what waits and what the board gives until there is nothing more and all have ended.

    Args:
        problem: The task.
        plan: How to train.
        seat: Whose configurations; has the outcomes afterwards.
        width: Places.
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
        leaving = run.finished()
        scores, due = run.scores(), run.until_due().tolist()
        reached: dict[int, tuple[int, float]] = {}
        for i in evaluated:
            rung = rung_passed(*_shares(run, i), seat.shares)
            if i not in leaving and rung is not None:
                seat.training[i].rungs[rung] = scores[i]
                reached[seat.training[i].number] = rung, scores[i]
        stays = [i for i in range(len(seat.training)) if i not in leaving]
        following = seat.step + min((due[i] for i in stays), default=1)
        pruned = seat.exchange(len(leaving), len(stays), following, reached)
        losers = [i for i in stays if seat.training[i].number in pruned]
        if seat.child is None:
            leaving |= dict.fromkeys(losers, "pruned")
        else:
            numbers = {i: seat.training[i].number for i in stays}
            seat.exploit(losers, {i: reached[n] for i, n in numbers.items() if n in reached})
        seat.release(leaving)
        fresh = seat.fill(len(leaving))


def rung_passed(before: float, after: float, shares: Sequence[float]) -> int | None:
    """Returns the rung that a member passes between two shares of its trial, or `None`."""
    passed = [i for i, share in enumerate(shares) if before < share <= after + 1e-9]
    return passed[-1] if passed else None


def _placed(problem: Problem, plan: Plan, seat: Seat, fresh: Sequence[Configuration]) -> Run:
    """Returns the run with fresh members in it, of which the board is told when they are evaluated."""
    members = [each.member for each in fresh]
    if seat.run is None or not len(seat.run.population):
        seat.run = Run(Population(problem, members, plan.stepper(len(members))))
    elif fresh:
        seat.run.admit(members)
    if fresh:
        seat.exchange(0, following=seat.step + int(seat.run.until_due().min()))
    return seat.run


def _shares(run: Run, member: int) -> tuple[float, float]:
    """Returns which shares of its trial a member had done at its last two evaluations."""
    total, curve = int(run.population.total[member]), run.curves[member]
    before = curve[-2].step if len(curve) > 1 else 0
    return before / total, curve[-1].step / total
