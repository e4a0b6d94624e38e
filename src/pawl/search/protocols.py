"""What a sampler is, what it is told, and what it proposes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

Params = dict[str, Any]
"""A point: a value for each parameter of a space."""


@dataclass(frozen=True)
class TrialResult:
    """A finished trial as a sampler sees it.

    Attributes:
        params: Its point.
        score: Its score, larger is better; `None` if it failed.
        rung: Evaluations it had when it was pruned; `None` if it ran to its end.
    """

    params: Params
    score: float | None
    rung: int | None


class Searchable(Protocol):
    """What a sampler needs to know of a space."""

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distributions by parameter."""

    @property
    def off(self) -> Mapping[str, Any]:
        """By parameter that brings something in: the value by which it is out."""

    @property
    def start(self) -> Params:
        """The point that the search starts from."""

    @property
    def conditions(self) -> Mapping[str, tuple[str, Any]]:
        """By parameter that counts only where another has a value: that other one, and the value."""

    @property
    def grids(self) -> Mapping[str, Sequence[Any]]:
        """The values of a grid by parameter, where they were given."""

    def weight(self, name: str, value: object) -> float:
        """Returns how often an edit gives a parameter this value, relative to others; above 0."""

    def structure(self, params: Mapping[str, Any]) -> Params:
        """Returns the part of a point that members of one generation share."""

    def effective(self, params: Mapping[str, Any]) -> str:
        """Identifies what a point's structure does: settings of what is out don't count."""


class Sampler(Protocol):
    """Proposes the points of one generation. Any object with these methods may be registered.

    It must propose the same points whenever it is made of the same space, seed and history: so a
    campaign that is resumed goes on as it would have.
    """

    def ask(self) -> Params | None:
        """Returns a new point; its structure is the generation's, and it is trained first.

        `None` ends the search: everything was proposed.
        """

    def members(self, point: Params, count: int) -> Iterable[Params]:
        """Returns or yields more points of a structure, which differ in their memberwise settings.

        Those that are yielded are drawn while others train. There are fewer only where everything of
        the structure was proposed.

        Args:
            point: The first of them; of a space without structure it may be empty.
            count: How many beside it.
        """


SamplerFactory = Callable[[Searchable, int, Sequence[TrialResult]], Sampler]
"""Makes a generation's sampler: what to sample from, a seed, and all trials so far in their order."""
