"""Which members of a generation are trained to their end: halving, others, and users' own.

All members of a generation have one structure. Structures are not compared at rungs: a schedule that
warms up looks worse early on, and so does a larger model.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from pawl.errors import TaskError, first_line
from pawl.recipe import Recipe
from pawl.search.named import Named
from pawl.search.pbt import PopulationBased

_BRACKETS = 4
Child = Callable[[Recipe, float, int], Recipe]
"""See `Exploring.child`."""


class Scheduler(Protocol):
    """Judges members at rungs. Any object with these may be registered.

    It must hold no state: what it decides is a matter of what it is told, so that a generation that is
    trained again after an interrupt goes the same way.
    """

    @property
    def shares(self) -> Sequence[float]:
        """Shares of a trial's epochs at which members are judged, a rung each: rising, in (0, 1)."""

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells whether a member goes on.

        Args:
            rung: The rung it has just reached, from 0.
            score: Its score there, larger is better.
            seen: The scores of all members of its generation that reached the rung so far, its own
                among them.
        """


@runtime_checkable
class Sized(Protocol):
    """A shipped scheduler that also says how many configurations its generation has."""

    def configurations(self, quota: int, width: int) -> int:
        """Returns their number.

        Args:
            quota: As many as a generation has else.
            width: As many as train at once.
        """


@runtime_checkable
class Exploring(Protocol):
    """A shipped scheduler whose members that do not go on follow others, in place of being pruned."""

    def child(self, parent: Recipe, share: float, seed: int) -> Recipe:
        """Returns the recipe by which a copy of a better member goes on.

        Args:
            parent: The better member's.
            share: Of the trial, that it has done.
            seed: Decides what is random.
        """


SchedulerFactory = Callable[[int], Scheduler]
"""Makes a generation's scheduler, given the generation's number."""


@dataclass(frozen=True)
class Halving:
    """Successive halving without waiting: the best third of those seen at a rung so far goes on.

    Reference: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (ASHA), 2020.
    """

    shares: tuple[float, ...] = (1 / 9, 1 / 3)
    reduction: int = 3

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells whether a score is among the best share of those seen."""
        ranked = sorted(seen, reverse=True)
        return score >= ranked[max(0, math.ceil(len(ranked) / self.reduction) - 1)]


@dataclass(frozen=True)
class Median:
    """The median stopping rule: what is worse than the median of those seen so far is pruned.

    Reference: Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017.
    """

    shares: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells whether a score is no worse than the median."""
        return score >= statistics.median(seen)


@dataclass(frozen=True)
class ToTheEnd:
    """No member is pruned."""

    shares: tuple[float, ...] = ()

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells that it goes on."""
        return True


@dataclass(frozen=True)
class Bracket:
    """One of Hyperband's brackets: how many configurations, and halving with so many rungs.

    Attributes:
        number: `s`, from 0 (all to the end) to the greatest.
        most: The greatest `s`.
        reduction: One in so many goes on at a rung (`eta`).
    """

    number: int
    most: int
    reduction: int = 3

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of a trial at its rungs: `eta ** -s, ..., eta ** -1`."""
        return tuple(float(self.reduction) ** -s for s in range(self.number, 0, -1))

    @property
    def size(self) -> int:
        """Configurations in the paper: `ceil((s_max + 1) / (s + 1) * eta ** s)`."""
        return math.ceil((self.most + 1) * int(self.reduction**self.number) / (self.number + 1))

    def configurations(self, quota: int, width: int) -> int:
        """Returns the paper's number, in proportion: the largest bracket has the quota."""
        largest = replace(self, number=self.most).size
        return max(1, min(quota, 2), round(quota * self.size / largest))

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells whether a score is among the best share of those seen."""
        return Halving(self.shares, self.reduction).goes_on(rung, score, seen)


def hyperband(generation: int, most: int = _BRACKETS - 1, reduction: int = 3) -> Bracket:
    """Returns a generation's bracket; they take turns, the one that prunes hardest first.

    How hard to prune cannot be known before; Hyperband hedges. A trial's epochs are what the paper calls
    R = 27, so that there are four brackets, with first rungs at 1/27, 1/9 and 1/3 of a trial and without
    any. Within a bracket members are judged as they arrive, as in halving.

    Reference: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR
    2018, algorithm 1.

    Example:
        >>> [(hyperband(i).size, len(hyperband(i).shares)) for i in range(4)]
        [(27, 3), (12, 2), (6, 1), (4, 0)]
    """
    return Bracket(most - generation % (most + 1), most, reduction)


_SCHEDULERS: Named[SchedulerFactory] = Named(
    "scheduler",
    {
        "halving": lambda _: Halving(),
        "hyperband": hyperband,
        "median": lambda _: Median(),
        "none": lambda _: ToTheEnd(),
        "pbt": lambda _: PopulationBased(),
    },
)


def configurations(scheduler: Scheduler, quota: int, width: int) -> int:
    """Returns how many configurations a generation has: the quota, unless its scheduler says others."""
    return scheduler.configurations(quota, width) if isinstance(scheduler, Sized) else quota


def child_of(scheduler: Scheduler) -> Child | None:
    """Returns how members go on as others' children; `None` of a scheduler that prunes."""
    return scheduler.child if isinstance(scheduler, Exploring) else None


class _Checked:
    """A scheduler of the user's; what it raises or answers wrongly ends the campaign in one line."""

    def __init__(self, name: str, factory: SchedulerFactory, generation: int) -> None:
        self._name = name
        try:
            self._scheduler = factory(generation)
            self.shares = tuple(float(share) for share in self._scheduler.shares)
        except Exception as error:
            raise self._raised(error) from error
        rising = all(a < b for a, b in zip((0.0, *self.shares), (*self.shares, 1.0), strict=True))
        if not rising:
            raise TaskError(
                f"the scheduler {name!r} has the shares {list(self.shares)}; allowed are rising numbers "
                "between 0 and 1"
            )

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        try:
            return bool(self._scheduler.goes_on(rung, score, seen))
        except Exception as error:
            raise self._raised(error) from error

    def _raised(self, error: Exception) -> TaskError:
        return TaskError(
            f"the scheduler {self._name!r} raised {type(error).__name__}: {first_line(error)}"
        )


def register_scheduler(name: str, factory: SchedulerFactory) -> None:
    """Adds a scheduler of your own for this process; `--search NAME` then takes it.

    Raises:
        TaskError: The name is taken.

    Example:
        >>> from pawl.search import Halving, register_scheduler, unregister_scheduler
        >>> register_scheduler("gentle", lambda generation: Halving((0.25, 0.5), reduction=2))
        >>> unregister_scheduler("gentle")
    """
    _SCHEDULERS.add(name, lambda generation: _Checked(name, factory, generation))


def unregister_scheduler(name: str) -> None:
    """Takes a scheduler that was registered out again; unknown names are ignored."""
    _SCHEDULERS.remove(name)


def schedulers() -> tuple[str, ...]:
    """Returns the names of all schedulers."""
    return _SCHEDULERS.names


def make_scheduler(name: str, generation: int) -> Scheduler:
    """Returns a generation's scheduler.

    Raises:
        TaskError: There is none of that name, or it is a user's and wrong.
    """
    return _SCHEDULERS.get(name)(generation)
