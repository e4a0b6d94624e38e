"""Arms trained in pairs: the same fresh splits and the same seeds for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pawl.evidence.tests import Comparison, corrected_ratio_t, corrected_t
from pawl.execution import Job, Session, record_of
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe


class Pairs:
    """Holdout scores of arms on the splits of one purpose.

    Args:
        session: The campaign's.
        purpose: Names the splits and seeds; another purpose has fresh ones.

    Attributes:
        records: All trainings so far.
        scores: By recipe id and pair: the holdout score, larger is better. Arms of the same recipe
            share their trainings. A training that failed counts as the worst score of its pair.
    """

    def __init__(self, session: Session, purpose: str) -> None:
        self.session = session
        self.purpose = purpose
        self.records: list[TrialRecord] = []
        self.scores: dict[str, dict[int, float]] = {}
        self._slack = 1.0  # by the clock over the sum of the trainings' times, in the last unit
        split = session.resplit(purpose, 0)
        self.test_to_train = split.test_to_train

    def run(
        self, key: str, arms: Mapping[str, Recipe], pairs: Sequence[int], epochs: float = 1.0
    ) -> bool:
        """Trains what is missing of these arms on these pairs, as one unit of the ledger.

        Returns whether they are all there; `False` if the time ran out in the middle.

        Args:
            key: The unit's name.
            arms: Recipes by the name of their arm.
            pairs: Numbers of the pairs.
            epochs: Length of the trainings relative to the campaign's (equal-time comparisons).
        """
        wanted: dict[tuple[str, int], tuple[str, Recipe]] = {}
        for name, recipe in arms.items():
            for pair in pairs:
                if pair not in self.scores.get(self._id(recipe, epochs), {}):
                    wanted.setdefault((self._id(recipe, epochs), pair), (name, recipe))
        if not wanted:
            return True
        unit = self.session.attempt(key, self.purpose, lambda: ({}, self._train(wanted, epochs)))
        if unit is None:
            return False
        self.records += unit.trials
        trained = sum(record.seconds for record in unit.trials)
        self._slack = max(1.0, unit.seconds / trained) if trained else 1.0
        self.session.note(unit.trials)
        for (arm, pair), record in zip(wanted, unit.trials, strict=True):
            sign = self.session.problem.objective.sign
            value = np.nan if record.holdout is None else sign * record.holdout
            self.scores.setdefault(arm, {})[pair] = value
        return True

    def _train(
        self, wanted: Mapping[tuple[str, int], tuple[str, Recipe]], epochs: float
    ) -> list[TrialRecord]:
        session, jobs, roles = self.session, [], []
        splits = {pair: session.resplit(self.purpose, pair) for _, pair in wanted}
        for (_, pair), (name, recipe) in wanted.items():
            split = splits[pair]
            length = max(1, round(session.epochs * epochs))
            seed = session.derive(self.purpose, "seed", pair)
            member = session.member(recipe, seed, split.train, split.valid, length)
            jobs.append(Job(member, split.holdout))
            roles.append(f"{name} #{pair}")
        return [
            record_of(r.outcome, self.purpose, role, f"{self.purpose} {pair}", holdout=r.score)
            for r, role, (_, pair) in zip(session.train(jobs), roles, wanted, strict=True)
        ]

    def _id(self, recipe: Recipe, epochs: float) -> str:
        return recipe.id if epochs == 1.0 else f"{recipe.id} x{epochs:.3f}"

    def of(self, recipe: Recipe, epochs: float = 1.0) -> dict[int, float]:
        """Returns an arm's scores by pair; what failed takes the worst score of its pair."""
        scores = dict(self.scores.get(self._id(recipe, epochs), {}))
        for pair, value in scores.items():
            if np.isnan(value):
                others = [arm[pair] for arm in self.scores.values() if pair in arm]
                finite = [v for v in others if not np.isnan(v)]
                scores[pair] = min(finite, default=0.0)
        return scores

    def mean(self, recipe: Recipe) -> float:
        """Returns an arm's mean score, larger is better."""
        return float(np.mean(list(self.of(recipe).values())))

    def compare(self, first: Recipe, second: Recipe, second_epochs: float = 1.0) -> Comparison:
        """Compares two arms over the pairs that both have; positive favors the first.

        Losses (all positive, smaller is better) are compared by their ratio, other metrics by their
        difference.
        """
        mine, theirs = self.of(first), self.of(second, second_epochs)
        common = sorted(set(mine) & set(theirs))
        is_loss = self.session.problem.objective.sign < 0
        if is_loss and all(scores[p] < 0 for scores in (mine, theirs) for p in common):
            losses = ([-scores[p] for p in common] for scores in (mine, theirs))
            return corrected_ratio_t(next(losses), next(losses), self.test_to_train)
        return corrected_t([mine[p] - theirs[p] for p in common], self.test_to_train)

    def correlation(self, first: Recipe, second: Recipe) -> float | None:
        """Returns the correlation of two arms over pairs: what pairing buys (`None` below 3)."""
        mine, theirs = self.of(first), self.of(second)
        common = sorted(set(mine) & set(theirs))
        if len(common) < 3:
            return None
        a, b = [mine[p] for p in common], [theirs[p] for p in common]
        if np.std(a) == 0 or np.std(b) == 0:
            return None
        return float(np.corrcoef(a, b)[0, 1])

    def seconds(self, recipe: Recipe) -> float:
        """Returns the mean seconds of an arm's trainings so far, or of all arms' if it has none.

        By the clock, so with what workers waited for each other in the last trainings.
        """
        mine = [r.seconds for r in self.records if r.recipe_id == recipe.id and r.seconds > 0]
        every = mine or [r.seconds for r in self.records]
        return self._slack * sum(every) / len(every) if every else 0.0

    def seconds_per_row(self, recipe: Recipe) -> float | None:
        """Returns an arm's seconds per training row and pass."""
        mine = [r for r in self.records if r.recipe_id == recipe.id and r.steps > 0]
        if not mine:
            return None
        return sum(r.seconds for r in mine) / (sum(r.steps for r in mine) * recipe.batch_size)


def forward_flops(session: Session, recipe: Recipe) -> int:
    """Counts the floating-point operations of one forward pass over 64 rows."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415  (slow to import)

    train, _ = session.search_rows
    front, body, _ = session.problem.build(recipe, 0, train)
    rows = session.problem.examples.take(train[:64]).inputs
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        body.eval()(front(rows))
    return int(counter.get_total_flops())
