"""All that a compression has tried, each with the model that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pawl.compression.candidate import Candidate
from pawl.compression.result import StepRecord


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate with what is on record of it, or a step without any.

    Attributes:
        record: What is on record.
        candidate: The model; `None` where a step had none.
        passed: Whether it loses little enough.
        base: Which of what was tried it was made of; -1 for the original.
    """

    record: StepRecord
    candidate: Candidate | None = None
    passed: bool = False
    base: int = -1


class Tree:
    """Models by their places: what was tried in order, and -1 for the original.

    Attributes:
        original: The bundle's model.
        tried: All that was tried, in order.
        at: Which of it is kept so far.
    """

    def __init__(self, original: Candidate) -> None:
        self.original = original
        self.tried: list[Tried] = []
        self.at = -1

    @property
    def current(self) -> Candidate:
        """The model that is kept so far."""
        return self.made(self.at)

    @property
    def lost_at_most(self) -> float | None:
        """What that may lose, by its test; 0 of the original."""
        return 0.0 if self.at < 0 else self.tried[self.at].record.loss_at_most

    def made(self, at: int) -> Candidate:
        """Returns the model of a place."""
        made = self.original if at < 0 else self.tried[at].candidate
        assert made is not None
        return made

    def line(self, at: int) -> Iterator[int]:
        """Yields the places that a model was made by, from its own back; not the original's."""
        while at >= 0:
            yield at
            at = self.tried[at].base

    def steps(self, at: int) -> set[str]:
        """Returns the steps that made a model."""
        return {self.tried[each].record.step for each in self.line(at)}
