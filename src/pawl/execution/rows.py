"""Which rows a campaign searches, chooses and proves on: the same whatever is trained."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl import rng
from pawl.data import fold_rows, split_rows
from pawl.errors import TaskError, option
from pawl.kinds import KINDS
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.problem import Problem

SELECTION_SHARE = 0.4
"""Share of the development rows that choices are judged on; half of it validates the search."""
JUDGED_SHARE = 0.6
"""Of rows in order of time, the share of the latest ones that models are judged on."""
FOLDS = 5
"""Folds of a cross-validation, where there are rows enough."""
STOPPING_SHARE = 0.15
"""Share of the training rows of a fold that is kept for early stopping."""
_HARDLY_MORE = 1.1


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
        most: Rows that a training takes, and that choices and claims are each judged on, at most; all
            there are by default. Those of a training are drawn anew for each split.
    """

    problem: Problem
    seed: int
    most: int | None = None

    def derive(self, *parts: int | str) -> int:
        """Returns a seed for a purpose of this campaign."""
        return rng.derive_seed(self.seed, *parts)

    @functools.cached_property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Rows that choices are judged on, and rows that claims are; both train elsewhere.

        In order of time claims are judged on the latest rows, choices on those before, and no model on
        the first ones, which can only train.
        """
        if not self.in_time:
            proof, selection = self._split(SELECTION_SHARE, "parts")
        else:
            _, judged = self._split(JUDGED_SHARE, "judged")
            selection, proof = self._split(1.0 - SELECTION_SHARE, "parts", rows=judged)
        return self.some(selection, "selection"), self.some(proof, "proof")

    @property
    def in_time(self) -> bool:
        """Whether models are judged on later rows than they train on."""
        blocks = self.problem.blocks
        return blocks is not None and blocks.by == "time"

    def _split(
        self, share: float, *purpose: int | str, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Splits rows into a rest and a share; see `pawl.data.split_rows`."""
        problem = self.problem
        return split_rows(
            problem.targets, problem.schema.kind, share, self.derive(*purpose), rows=rows,
            blocks=problem.blocks,
        )  # fmt: skip

    def _others(self, held_out: Tensor) -> Tensor:
        """Returns the rows that may train what these are to judge."""
        if self.problem.blocks is not None:
            return self.problem.blocks.others(held_out)
        mask = torch.ones(len(self.problem.targets), dtype=torch.bool)
        mask[held_out] = False
        return mask.nonzero().flatten()

    @functools.cached_property
    def search(self) -> tuple[Tensor, Tensor]:
        """Training and validation rows of the search."""
        selection, proof = self.parts
        if len(selection) == 1:
            return proof, selection
        _, valid = self._split(0.5, "search", rows=selection)
        return self.some(self._others(valid), "search"), valid

    def searched(self, folds: int = 1) -> tuple[tuple[Tensor, Tensor], ...]:
        """Returns training and validation rows of the search: one split, or those of its folds.

        Folds are dealt of the rows that choices are judged on; all others train.

        Raises:
            TaskError: These are too few for so many.
        """
        if folds == 1:
            return (self.search,)
        selection, _ = self.parts
        if (most := self.num_folds(selection, folds)) < folds:
            raise TaskError(
                f"got {option('folds', folds)}, and the {len(selection):,} rows that choices are "
                f"judged on make {most} at most; give fewer"
            )
        problem = self.problem
        dealt = fold_rows(
            problem.targets, problem.schema.kind, folds, self.derive("search", "folds"),
            rows=selection, blocks=problem.blocks,
        )  # fmt: skip
        return tuple(
            (self.some(self._others(valid), "search", fold), valid)
            for fold, valid in enumerate(dealt)
        )

    def num_folds(self, rows: Tensor, most: int = FOLDS) -> int:
        """Returns how many folds these rows are dealt into, so that each can be scored."""
        targets, count = self.problem.targets[rows], len(rows)
        if self.problem.blocks is not None:
            keys = self.problem.blocks.keys[rows]
            count = len(torch.unique(keys))
            if self.problem.schema.kind == "binary":  # a class needs a group in each fold
                both = torch.unique(torch.stack([keys, targets.cpu()], 1), dim=0)
                targets = both[:, 1]
        limit = KINDS[self.problem.schema.kind].most_folds(targets)
        return min(count, most, max(2, limit))

    def resplit(self, purpose: str, index: int, rows: Tensor, folds: int) -> Resplit:
        """Returns the split of a pair of a purpose.

        Repeated cross-validation: pairs in a row hold out one fold each of `rows` until all were held
        out, then the rows are dealt anew. Everything else trains; in order of time, everything before.
        """
        kind, targets = self.problem.schema.kind, self.problem.targets
        repeat, fold = divmod(index, folds)
        seed = self.derive(purpose, "folds", repeat)
        if self.in_time:
            rows = rows[torch.isin(rows, torch.cat(self.parts))]
        dealt = fold_rows(targets, kind, folds, seed, rows=rows, blocks=self.problem.blocks)
        holdout = dealt[fold % len(dealt)]
        others = self.some(self._others(holdout), purpose, index)
        train, valid = self._split(STOPPING_SHARE, purpose, "stopping", index, rows=others)
        return Resplit(train, valid, holdout)

    def some(self, rows: Tensor, *purpose: int | str, most: int | None = None) -> Tensor:
        """Returns these rows, or `most` of them (by default as many as a training takes), by strata.

        Of hardly more, all are taken. Groups and times play no part: which rows are on which side of a
        split is settled before.
        """
        most = most or self.most
        if most is None or len(rows) <= _HARDLY_MORE * most:
            return rows
        seed = self.derive("some", *purpose)
        share = most / len(rows)
        return split_rows(self.problem.targets, self.problem.schema.kind, share, seed, rows=rows)[1]

    def member(
        self, recipe: Recipe, seed: int, train: Tensor, stopping: Tensor, epochs: int
    ) -> Member:
        """Returns a member that is judged on other rows than these.

        The rows for early stopping train it, too, where nothing in its recipe looks at them.
        """
        if not recipe.stops:
            train, stopping = torch.cat([train, stopping]).sort().values, stopping[:0]
        return Member(recipe, seed, train, stopping, epochs)
