"""What models predict of rows that they did not train on: the currency of blends.

Shape legend: `M` models, `F` passes over the folds, `R` rows, `P` the shape of a row's prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pawl.evidence import Arm, Pairs, Single
from pawl.kinds import KINDS
from pawl.kinds.kind import NOTHING
from pawl.models.deployed import LEAST_PROBABILITY
from pawl.recipe import Recipe
from pawl.training.metrics import score

_MOST_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions of recipes that raced, best first.

    Attributes:
        recipes: Those without a failed training; `M`.
        predictions: `[M, F, R, *P]`.
        targets: Of the rows in the order of the predictions, `[F, R, *S]`.
        pairs: Where they raced.
        units: Of each row, what varies on its own: the row, or the group that it is of, alike.
    """

    recipes: tuple[Recipe, ...]
    predictions: Tensor
    targets: Tensor
    pairs: Pairs
    units: Tensor

    @classmethod
    def of(cls, racing: Pairs, recipes: Sequence[Recipe]) -> OutOfFold | None:
        """Returns the predictions of recipes that ran on the same pairs; `None` if none is whole.

        Pairs behind the last full pass over the folds are left out.

        Args:
            racing: Where they ran.
            recipes: Which.
        """
        folds, problem = racing.folds, racing.session.problem
        found: dict[Recipe, list[Tensor]] = {}
        passes = 0
        for recipe in recipes:
            (training,) = Single(recipe).trainings
            count = len(racing.judged.get(training.id, {})) // folds * folds
            parts = [racing.trainings.predicted(training, pair) for pair in range(count)]
            good = [part for part in parts if part is not None]
            if count and len(good) == len(parts):
                found[recipe], passes = good, count // folds
        if not found:
            return None
        rows = [racing.trainings.split(pair).holdout for pair in range(passes * folds)]

        def joined(parts: Sequence[Tensor]) -> Tensor:
            """Puts a part of each pair together, `[F, R, ...]`; of many rows some, evenly spread."""
            whole = [torch.cat(list(parts[i * folds : (i + 1) * folds])) for i in range(passes)]
            count = len(whole[0])
            kept = torch.linspace(0, count - 1, min(count, _MOST_ROWS)).long()
            return torch.stack([each[kept] for each in whole])

        targets = joined([problem.targets.cpu()[each] for each in rows])
        predictions = torch.stack([joined(parts) for parts in found.values()])
        own = torch.arange(len(problem.targets)) if problem.units is None else problem.units.cpu()
        units = joined([own[each] for each in rows])
        whole = cls(tuple(found), predictions, targets, racing, units)
        values = whole.score(predictions).nan_to_num(nan=-torch.inf)
        order = values.argsort(descending=True, stable=True).tolist()
        ordered = tuple(whole.recipes[i] for i in order)
        return replace(whole, recipes=ordered, predictions=predictions[order])

    def only(self, recipes: Sequence[Recipe]) -> OutOfFold:
        """Returns those of some of the recipes, in their order here."""
        kept = [at for at, recipe in enumerate(self.recipes) if recipe in recipes]
        chosen = tuple(self.recipes[at] for at in kept)
        return replace(self, recipes=chosen, predictions=self.predictions[kept])

    def at(self, places: slice) -> OutOfFold:
        """Returns those of some of the rows of each pass."""
        return replace(
            self, predictions=self.predictions[:, :, places], targets=self.targets[:, places],
            units=self.units[:, places],
        )  # fmt: skip

    def of_arm(self, arm: Arm) -> Tensor:
        """Returns what an arm of these recipes predicts, `[F, R, *P]`."""
        each = [training.recipe for training in arm.trainings]
        return arm.combined([self.predictions[self.recipes.index(recipe)] for recipe in each])

    def loss(self, predictions: Tensor) -> Tensor:
        """Returns the loss that predictions `[F, R, *P]` have as probabilities, or as values, `[]`.

        The logarithmic loss of classes and labels; squares in units of the targets' deviation.
        """
        kind = KINDS[self.pairs.session.problem.schema.kind]
        if not kind.has_classes:
            scale = self.targets.double().flatten(0, 1).std(0, correction=0).clamp_min(1e-12)
            return ((predictions - self.targets) / scale).square().mean()
        likely = predictions.clamp(LEAST_PROBABILITY, 1.0)
        if kind.exclusive:
            right = likely.gather(-1, self.targets.unsqueeze(-1).clamp_min(0)).squeeze(-1)
            there = self.targets != NOTHING
            return -(right.log() * there).sum() / there.sum()
        there = (self.targets > 0.5).to(predictions.dtype)
        absent = (1.0 - likely).clamp_min(LEAST_PROBABILITY)
        return -(there * likely.log() + (1.0 - there) * absent.log()).mean()

    def score(self, predictions: Tensor) -> Tensor:
        """Returns the metric of predictions `[..., F, R, *P]`, larger is better, `[...]`.

        The mean over passes of the metric over all rows.
        """
        objective = self.pairs.session.problem.objective
        lead = predictions.shape[: predictions.dim() - self.predictions.dim() + 1]
        flat = predictions.reshape(-1, *self.predictions.shape[1:])
        found = [
            torch.stack(
                [
                    score(objective, one, wanted).double()
                    for one, wanted in zip(each, self.targets, strict=True)
                ]
            ).mean()
            for each in flat
        ]
        return objective.sign * torch.stack(found).reshape(lead)
