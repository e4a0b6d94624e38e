"""One worker's side of a generation: configurations, which of them train, and how they ended.

A configuration is trained once, or once for each fold of a cross-validation; its folds are members of
the same population, come and go together, and are judged by their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from pawl import rng
from pawl.execution import over_folds
from pawl.search.board import Answer, Report
from pawl.search.pbt import parents
from pawl.search.protocols import Params
from pawl.search.schedulers import Child, Halving
from pawl.training.population import Member
from pawl.training.run import Outcome, Run, Status


@dataclass(frozen=True, eq=False)
class Searched:
    """A configuration and how it ended.

    Attributes:
        number: Its number in the generation.
        params: Its point; of one that followed another, that one's.
        outcome: How its training ended; of several folds, the mean of how theirs did.
        rungs: Its scores at the rungs it reached.
        history: Whom it followed, at which share of its trial.
        folds: Scores of the folds, where there are several.
    """

    number: int
    params: Params
    outcome: Outcome
    rungs: dict[int, float]
    history: tuple[dict[str, float], ...] = ()
    folds: tuple[float | None, ...] = ()


@dataclass(eq=False)
class Configuration:
    """A configuration of a generation, as in `Searched`.

    Attributes:
        members: One for each fold.
        passed: Scores of folds by rung and fold, larger is better.
        ended: How folds have ended, and the score that counts for them, larger is better, by fold.
    """

    number: int
    params: Params
    members: tuple[Member, ...]
    rungs: dict[int, float] = field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()
    inherited: Params | None = None
    passed: dict[int, dict[int, float]] = field(default_factory=dict)
    ended: dict[int, tuple[Outcome, float]] = field(default_factory=dict)

    @property
    def point(self) -> Params:
        """Its point, or that of the one that it followed."""
        return self.params if self.inherited is None else self.inherited

    @property
    def over(self) -> bool:
        """Whether all folds have ended."""
        return len(self.ended) == len(self.members)

    def reached(self) -> tuple[int, float] | None:
        """Returns the last rung that all folds have passed, and their mean there, if that is news.

        A fold that ended before the rung counts with what it ended with.
        """
        left = [fold for fold in range(len(self.members)) if fold not in self.ended]
        known = max(self.rungs, default=-1)
        complete = [r for r, scores in self.passed.items() if all(fold in scores for fold in left)]
        rung = max(complete, default=-1)
        if rung <= known:
            return None
        scores = self.passed[rung]
        before = [score for fold, (_, score) in self.ended.items() if fold not in scores]
        self.rungs[rung] = fmean([*scores.values(), *before])
        return rung, self.rungs[rung]

    def searched(self, outcomes: Sequence[Outcome]) -> Searched:
        """Returns how it ended, given how its folds did."""
        folds = tuple(one.score for one in outcomes) if len(outcomes) > 1 else ()
        found = over_folds(outcomes)
        return Searched(self.number, self.point, found, self.rungs, self.history, folds)

    def reset(self) -> None:
        """Forgets what was trained."""
        self.rungs, self.history, self.inherited = {}, (), None
        self.passed, self.ended = {}, {}


class Place(NamedTuple):
    """What a member of the population is."""

    configuration: Configuration
    fold: int


class Seat:
    """One worker's side of a generation.

    Args:
        ask: Takes a report to the board.
        make: Makes the members of a numbered point, one for each fold.
        shares: At which shares of a trial's epochs members are judged, one for each rung.
        child: How a member that does not go on follows a better one; `None` if it is pruned.
        folds: How many members `make` makes.

    Attributes:
        waiting: Configurations without places, in order.
        training: What trains, by position in the population.
        done: Configurations that have ended.
        run: The population's run, once there is one.
        step: Steps that it has taken, those of its predecessors included.
    """

    def __init__(
        self,
        ask: Callable[[Report], Answer],
        make: Callable[[int, Params], tuple[Member, ...]],
        shares: Sequence[float] = Halving().shares,
        child: Child | None = None,
        folds: int = 1,
    ) -> None:
        self.shares, self.child, self.folds = shares, child, folds
        self._ask, self._make = ask, make
        self._following = 0
        self.waiting: list[Configuration] = []
        self.training: list[Place] = []
        self.done: list[Searched] = []
        self.run: Run | None = None
        self.step = 0

    @property
    def configurations(self) -> list[Configuration]:
        """What trains, each once, in order."""
        return list(dict.fromkeys(place.configuration for place in self.training))

    def exchange(
        self,
        free: int,
        staying: int = 0,
        following: int | None = None,
        reached: Mapping[int, tuple[int, float]] | None = None,
    ) -> frozenset[int]:
        """Reports to the board, takes what is new, and returns the numbers of those to prune.

        Args:
            free: Configurations that there is room for.
            staying: Configurations that stay unless they are pruned now.
            following: Step of their next evaluation.
            reached: Rungs that configurations have just reached, and their scores there, by number.
        """
        self._following = self.step + 1 if following is None else following
        free -= len(self.waiting)
        report = Report(self.step, self._following, dict(reached or {}), free, staying)
        answer = self._ask(report)
        self.waiting += [Configuration(n, p, self._make(n, p)) for n, p in answer.fresh]
        return answer.pruned

    def fill(self, count: int) -> list[Member]:
        """Gives places to so many of those that wait, and returns their members."""
        fresh, self.waiting = self.waiting[:count], self.waiting[count:]
        places = [Place(each, fold) for each in fresh for fold in range(len(each.members))]
        self.training += places
        return [each.members[fold] for each, fold in places]

    def begun(self) -> list[int]:
        """Returns the positions of the members that were evaluated at least once."""
        return [i for i, curve in enumerate(self.run.curves) if curve] if self.run else []

    def leaving(self) -> dict[int, Status]:
        """Returns who has ended, and how, by position: with a fold that diverged, all of its."""
        assert self.run is not None
        found = self.run.finished()
        lost = {
            self.training[i].configuration for i, status in found.items() if status == "diverged"
        }
        rest: dict[int, Status] = {
            i: "pruned" for i, place in enumerate(self.training) if place.configuration in lost
        }
        return rest | found

    def release(self, which: Mapping[int, Status]) -> int:
        """Notes how members ended, by position; returns how many configurations are over by that."""
        if not which:
            return 0
        assert self.run is not None
        scores, over = self.run.scores(), 0
        for i, outcome in zip(sorted(which), self.run.release(dict(which)), strict=True):
            each, fold = self.training[i]
            each.ended[fold] = outcome, scores[i]
            if each.over:
                over += 1
                folds = [each.ended[fold][0] for fold in range(len(each.members))]
                self.done.append(each.searched(folds))
        self.training = [place for i, place in enumerate(self.training) if i not in which]
        return over

    def positions(self, chosen: Collection[int]) -> list[int]:
        """Returns the positions of the members of numbered configurations."""
        return [i for i, p in enumerate(self.training) if p.configuration.number in chosen]

    def exploit(self, losers: Collection[int], reached: Mapping[int, tuple[int, float]]) -> None:
        """Makes configurations copies of better ones, each with a recipe of its own from here on.

        Only such of which all folds are in training copy or are copied.

        Args:
            losers: Their numbers.
            reached: By number, the rung that a configuration has just reached and its score there.
        """
        assert self.run is not None
        whole = {each.number: each for each in self.configurations if not each.ended}
        scores = {number: score for number, (_, score) in reached.items() if number in whole}
        losers = [number for number in losers if number in whole]
        able = parents(scores, losers)
        for number in losers if able else ():
            mine, population = whole[number], self.run.population
            seed = rng.derive_seed("exploit", mine.members[0].seed, reached[number][0])
            theirs = whole[able[seed % len(able)]]
            sources = self.positions({theirs.number})
            share = int(population.step[sources[0]]) / int(population.total[sources[0]])
            assert self.child is not None
            recipe = self.child(population.members[sources[0]].recipe, share, seed)
            for source, target in zip(sources, self.positions({number}), strict=True):
                self.run.inherit(source, target, recipe)
            mine.inherited, mine.rungs = theirs.point, dict(theirs.rungs)
            mine.passed = {rung: dict(each) for rung, each in theirs.passed.items()}
            mine.history = (*theirs.history, {"share": share, "from": theirs.number})

    def vacate(self) -> list[Configuration]:
        """Frees all places, whose configurations have not ended, and returns who had them."""
        vacated, self.training, self.run = self.configurations, [], None
        for each in vacated:
            each.reset()
        self.step = max(self.step, self._following)  # the board was told to expect nothing sooner
        return vacated
