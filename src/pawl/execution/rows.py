"""Which rows a campaign searches, chooses and proves on: the same whatever is trained."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl import rng
from pawl.data import fold_rows, split_rows
from pawl.kinds import KINDS
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.problem import Problem

SELECTION_SHARE = 0.4
"""Share of the development rows that choices are judged on; half of it validates the search."""
FOLDS = 5
"""Folds of a cross-validation, where there are rows enough."""
STOPPING_SHARE = 0.15
"""Share of the training rows of a fold that is kept for early stopping."""


@dataclass(frozen=True)
class Resplit:
    """One split of the development rows, indices into them.

    Attributes:
        train: Rows to train on.
        valid: Rows for early stopping.
        holdout: Rows to judge on: one fold.
    """

    train: Tensor
    valid: Tensor
    holdout: Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """The development rows in their parts; see `docs/evidence.md`.

    Attributes:
        problem: The task.
        seed: The campaign's seed.
    """

    problem: Problem
    seed: int

    def derive(self, *parts: int | str) -> int:
        """Returns a seed for a purpose of this campaign."""
        return rng.derive_seed(self.seed, *parts)

    @functools.cached_property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Rows that choices are judged on, and rows that claims are; both train elsewhere."""
        proof, selection = split_rows(
            self.problem.targets, self.problem.schema.kind, SELECTION_SHARE, self.derive("parts")
        )
        return selection, proof

    @functools.cached_property
    def search(self) -> tuple[Tensor, Tensor]:
        """Training and validation rows of the search."""
        selection, proof = self.parts
        if len(selection) == 1:
            return proof, selection
        targets, kind = self.problem.targets, self.problem.schema.kind
        rest, valid = split_rows(targets, kind, 0.5, self.derive("search"), rows=selection)
        return torch.cat([rest, proof]).sort().values, valid

    def num_folds(self, rows: Tensor, most: int = FOLDS) -> int:
        """Returns how many folds these rows are dealt into, so that each can be scored."""
        limit = KINDS[self.problem.schema.kind].most_folds(self.problem.targets[rows])
        return min(len(rows), most, max(2, limit))

    def resplit(self, purpose: str, index: int, rows: Tensor, folds: int) -> Resplit:
        """Returns the split of a pair of a purpose.

        Repeated cross-validation: pairs in a row hold out one fold each of `rows` until all were held
        out, then the rows are dealt anew. Everything else trains.
        """
        kind, targets = self.problem.schema.kind, self.problem.targets
        repeat, fold = divmod(index, folds)
        seed = self.derive(purpose, "folds", repeat)
        dealt = fold_rows(targets, kind, folds, seed, rows=rows)
        holdout = dealt[fold % len(dealt)]
        others = torch.ones(len(targets), dtype=torch.bool)
        others[holdout] = False
        train, valid = split_rows(
            targets, kind, STOPPING_SHARE, self.derive(purpose, "stopping", index),
            rows=others.nonzero().flatten(),
        )  # fmt: skip
        return Resplit(train, valid, holdout)

    def member(
        self, recipe: Recipe, seed: int, train: Tensor, stopping: Tensor, epochs: int
    ) -> Member:
        """Returns a member that is judged on other rows than these.

        The rows for early stopping train it, too, where nothing in its recipe looks at them.
        """
        if not recipe.stops:
            train, stopping = torch.cat([train, stopping]).sort().values, stopping[:0]
        return Member(recipe, seed, train, stopping, epochs)
