"""What computes the steps of a population.

Shape legend: `N` members, `B` batch, `R` rows, `K` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from pawl.data.types import Examples
from pawl.training.state import Buffers, EvaluationState

if TYPE_CHECKING:
    from pawl.training.population import Population


class Stepper(Protocol):
    """How steps and forward passes are computed.

    `width` is the number of members that a step is made for; 0 if it takes any.
    """

    name: str
    width: int

    def rebind(self, population: Population) -> None:
        """Called after members came or went, before the next call."""

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once."""

    def advance(self, population: Population, batches: Sequence[Buffers]) -> Tensor:
        """Takes one step per batch; returns mean losses `[N]`.

        Args:
            population: The members.
            batches: For each member tensors by name, on the device: the `rows` of its batches, `[K, B]`,
                indices into `population.examples`, and where the rows have such, how much they count
                (`weights`, `[K, B]`), their `soft` labels, `[K, B, ...]`, what is added to their outputs
                (`offset`, `[K, B, O]`), and inputs that are known of them, alike. Members with few rows
                have a smaller `B`.
        """

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: EvaluationState
    ) -> Tensor:
        """Returns outputs `[N, R, ...]`, as the loss takes them, in evaluation mode."""
