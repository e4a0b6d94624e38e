"""Arms trained in pairs: the same folds and the same seeds for every arm."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pawl.evidence.arms import Arm, Training, arm_of
from pawl.evidence.constant import constant_predictions, has_value, no_better, same_for_all
from pawl.evidence.crossed import HoldoutScore, crossed, holdout_score
from pawl.evidence.tests import Comparison
from pawl.evidence.trainings import FoldTrainings, Place
from pawl.execution import FOLDS, Session
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.training.trained import KeptModel, Trained

Compared = Recipe | Arm
"""What pairs compare; a recipe stands for the arm of its own models."""


class Pairs:
    """Arms on the folds of one purpose.

    Args:
        session: The campaign's.
        purpose: Names the folds and seeds; another purpose has fresh ones.
        rows: What the folds are of: rows that nothing chose by, where a claim is to be made.
        folds: Most folds of these rows.
        keep: How many of the first pairs leave their models in the campaign's folder.

    Attributes:
        trainings: What was trained.
        judged: By arm and pair: the score on the rows held out, and each row's part in it; `None` where
            a training failed. Arms share equal trainings.
        folds: Pairs that hold out every row once.
    """

    def __init__(
        self, session: Session, purpose: str, rows: Tensor, folds: int = FOLDS, *, keep: int = 0
    ) -> None:
        self.session = session
        self.trainings = FoldTrainings(session, purpose, rows, folds, keep=keep)
        self.folds = self.trainings.folds
        self.judged: dict[str, dict[int, HoldoutScore | None]] = {}
        self._constants: dict[int, HoldoutScore | None] = {}
        self._flat: dict[Place, bool] = {}

    @property
    def purpose(self) -> str:
        """Names the folds and seeds."""
        return self.trainings.purpose

    @property
    def keep(self) -> int:
        """How many of the first pairs leave their models."""
        return self.trainings.keep

    @property
    def records(self) -> list[TrialRecord]:
        """All trainings so far."""
        return self.trainings.records

    def run(self, key: str, arms: Mapping[str, Compared], pairs: Sequence[int]) -> bool:
        """Trains what is missing of these arms on these pairs, as one unit of the ledger.

        Returns whether they are all there; `False` if the time ran out in the middle.

        Args:
            key: The unit's name.
            arms: By their names.
            pairs: Numbers of the pairs.
        """
        compared = {name: arm_of(given) for name, given in arms.items()}
        wanted: dict[Place, tuple[str, Training]] = {}
        for name, arm in compared.items():
            for training in arm.trainings:
                for pair in pairs:
                    if (training.id, pair) not in self.trainings:
                        wanted.setdefault((training.id, pair), (name, training))
        if wanted and not self.trainings.add(key, wanted):
            return False
        for arm in compared.values():
            for pair in pairs:
                if pair not in self.judged.setdefault(arm.id, {}):
                    self._judge_arm(arm, pair)
        return True

    def _judge_arm(self, arm: Arm, pair: int) -> None:
        """Scores an arm whose trainings of a pair have ended."""
        predicted = self.predicted(arm, pair)
        self.judged[arm.id][pair] = None if predicted is None else self._judge(pair, predicted)
        self._flat[arm.id, pair] = predicted is not None and same_for_all(predicted)

    def predicted(self, arm: Arm, pair: int) -> Tensor | None:
        """Returns what an arm predicts of the rows held out; `None` if a training of it failed."""
        parts = [self.trainings.predicted(training, pair) for training in arm.trainings]
        good = [part for part in parts if part is not None]
        return arm.combined(good) if len(good) == len(parts) else None

    def rows(self, given: Compared, pair: int) -> Tensor:
        """Returns the rows that an arm's model of a pair trained on; all of them where it is several."""
        trainings = arm_of(given).trainings
        each = [self.trainings.member(training, pair).train for training in trainings]
        found: Tensor = torch.unique(torch.cat(each))
        return found

    def kept(self, *given: Compared) -> list[int]:
        """Returns the pairs whose models of all these arms are in the campaign's folder."""
        arms = [self.judged.get(arm_of(each).id, {}) for each in given]
        return [pair for pair in range(self.keep) if all(arm.get(pair) for arm in arms)]

    def load(self, given: Compared, pair: int) -> Trained:
        """Returns a model that is kept."""
        return arm_of(given).predictor([each.load() for each in self.models(given, pair)])

    def models(self, given: Compared, pair: int) -> list[KeptModel]:
        """Returns the models that one that is kept is made of."""
        return [self.trainings.kept(training, pair) for training in arm_of(given).trainings]

    def drop_models(self, *, but: Collection[Compared]) -> None:
        """Deletes the models of all other arms than these: what is not delivered needs no room."""
        ids = {training.id for given in but for training in arm_of(given).trainings}
        self.trainings.drop_models(but=ids)

    def _constant(self, pair: int) -> HoldoutScore | None:
        """Returns the pair's constant predictor; `None` if the metric has no value for it."""
        if pair not in self._constants:
            problem, split = self.session.problem, self.trainings.split(pair)
            targets = problem.targets.cpu()[split.train.cpu()]
            same = constant_predictions(problem.schema, targets, len(split.holdout))
            held = problem.targets.cpu()[split.holdout]
            known = has_value(problem.objective, same, held)
            self._constants[pair] = self._judge(pair, same) if known else None
        return self._constants[pair]

    def _judge(self, pair: int, predictions: Tensor) -> HoldoutScore | None:
        problem, rows = self.session.problem, self.trainings.split(pair).holdout
        return holdout_score(
            problem.objective, predictions, problem.targets.cpu()[rows], rows, problem.units
        )

    def of(self, given: Compared) -> dict[int, HoldoutScore]:
        """Returns an arm's models by pair; one that failed counts as the pair's constant predictor.

        Where the metric has no value for that either (a function of the user's may have none), it counts
        as the worst model of its pair, and a pair without any score is left out.
        """
        sign = self.session.problem.objective.sign
        found = {}
        for pair, mine in self.judged.get(arm_of(given).id, {}).items():
            counted = mine or self._constant(pair)
            if counted is None:
                others = [arm[pair] for arm in self.judged.values() if pair in arm]
                usable = [each for each in others if each is not None]
                counted = min(usable, key=lambda each: sign * each.value, default=None)
            if counted is not None:
                found[pair] = counted
        return found

    def nothing_learned(self, given: Compared) -> str | None:
        """Returns why an arm's models learned nothing, by their pairs, or `None` if they did."""
        arm = arm_of(given).id
        pairs = [pair for pair, mine in self.judged.get(arm, {}).items() if mine is not None]
        if not pairs:
            return None
        flat = sum(self._flat[arm, pair] for pair in pairs)
        if 2 * flat > len(pairs):
            return f"{flat} of {len(pairs)} models predict the same for every row"
        both = [(self.judged[arm][pair], self._constant(pair)) for pair in pairs]
        scores = [(mine.value, other.value) for mine, other in both if mine and other]
        if not scores:
            return None
        objective = self.session.problem.objective
        mine, constant = (float(np.mean(each)) for each in zip(*scores, strict=True))
        if objective.sign * (mine - constant) > 0:
            return None
        return no_better(objective, mine, constant)

    def mean(self, given: Compared) -> float:
        """Returns an arm's mean score, larger is better."""
        values = [each.value for each in self.of(given).values()]
        return self.session.problem.objective.sign * float(np.mean(values)) if values else -np.inf

    def compare(self, first: Compared, second: Compared) -> Comparison:
        """Compares two arms over the pairs that both have; positive favors the first."""
        mine, theirs = self.of(first), self.of(second)
        common = sorted(set(mine) & set(theirs))
        problem = self.session.problem
        return crossed(
            problem.objective, [mine[p] for p in common], [theirs[p] for p in common],
            len(problem.targets), units=problem.units,
        )  # fmt: skip

    def correlation(self, first: Compared, second: Compared) -> float | None:
        """Returns the correlation of two arms over pairs: what pairing buys (`None` below 3)."""
        mine, theirs = self.of(first), self.of(second)
        common = sorted(set(mine) & set(theirs))
        if len(common) < 3:
            return None
        a, b = [mine[p].value for p in common], [theirs[p].value for p in common]
        if np.std(a) == 0 or np.std(b) == 0:
            return None
        return float(np.corrcoef(a, b)[0, 1])

    def seconds(self, given: Compared) -> float:
        """Returns the mean seconds of an arm's model so far, or of all trainings' if it has none."""
        return sum(self.trainings.seconds(each.recipe) for each in arm_of(given).trainings)


def forward_flops(session: Session, recipe: Recipe) -> int:
    """Counts the floating-point operations of one forward pass over 64 rows."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415  (slow to import)

    train, _ = session.rows.search
    front, body, _ = session.problem.build(recipe, 0, train)
    rows = session.problem.examples.take(train[:64]).inputs
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        body.eval()(front(rows))
    return int(counter.get_total_flops())
