"""Arms trained in pairs: the same folds and the same seeds for every arm."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from pawl.evidence.arms import Arm, Training, arm_of
from pawl.evidence.constant import constant_predictions, has_value, no_better, same_for_all
from pawl.evidence.crossed import HoldoutScore, crossed, holdout_score
from pawl.evidence.tests import Comparison
from pawl.execution import FOLDS, Job, Resplit, Session, record_of
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import Trained, from_outcome, load_model, save_models

_PREDICTIONS = "predictions.safetensors"
_Model = tuple[str, int]  # an id of a training or an arm, and the number of a pair
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
        records: All trainings so far.
        judged: By arm and pair: the score on the rows held out, and each row's part in it; `None` where
            a training failed. Arms share equal trainings.
        folds: Pairs that hold out every row once.
    """

    def __init__(
        self, session: Session, purpose: str, rows: Tensor, folds: int = FOLDS, *, keep: int = 0
    ) -> None:
        self.session = session
        self.purpose = purpose
        self.keep = keep
        self.records: list[TrialRecord] = []
        self.judged: dict[str, dict[int, HoldoutScore | None]] = {}
        self._constants: dict[int, HoldoutScore | None] = {}
        self._flat: dict[_Model, bool] = {}
        self._rows, self.folds = rows, session.rows.num_folds(rows, folds)
        self._models: dict[_Model, str] = {}  # by training: the file with its model
        self._predictions: dict[_Model, tuple[str, str]] = {}  # file and name; "" where it failed
        self._splits: dict[int, Resplit] = {}
        self._slack = 1.0  # by the clock over the sum of the trainings' times, in the last unit

    def _split(self, pair: int) -> Resplit:
        if pair not in self._splits:
            found = self.session.rows.resplit(self.purpose, pair, self._rows, self.folds)
            self._splits[pair] = found
        return self._splits[pair]

    def run(self, key: str, arms: Mapping[str, Compared], pairs: Sequence[int]) -> bool:
        """Trains what is missing of these arms on these pairs, as one unit of the ledger.

        Returns whether they are all there; `False` if the time ran out in the middle.

        Args:
            key: The unit's name.
            arms: By their names.
            pairs: Numbers of the pairs.
        """
        compared = {name: arm_of(given) for name, given in arms.items()}
        wanted: dict[_Model, tuple[str, Training]] = {}
        for name, arm in compared.items():
            for training in arm.trainings:
                for pair in pairs:
                    if (training.id, pair) not in self._predictions:
                        wanted.setdefault((training.id, pair), (name, training))
        if wanted and not self._trained(key, wanted):
            return False
        for arm in compared.values():
            for pair in pairs:
                if pair not in self.judged.setdefault(arm.id, {}):
                    self._judge_arm(arm, pair)
        return True

    def _trained(self, key: str, wanted: Mapping[_Model, tuple[str, Training]]) -> bool:
        digest = hashlib.sha256(f"{self.purpose}/{key}".encode()).hexdigest()[:12]
        files = f"artifacts/{self.purpose}-{digest}"
        unit = self.session.attempt(key, self.purpose, lambda: self._train(wanted, files))
        if unit is None:
            return False
        self.records += unit.trials
        spent = sum(record.seconds for record in unit.trials)
        self._slack = max(1.0, unit.seconds / spent) if spent else 1.0
        self.session.note(unit.trials)
        file = f"{files}-{_PREDICTIONS}"
        names = set(load(self.session.ledger.read_file(file)))
        for index, ((id_, pair), (_, training)) in enumerate(wanted.items()):
            self._predictions[id_, pair] = file, str(index) if str(index) in names else ""
            if self._keeps(training, pair):
                self._models[id_, pair] = f"{files}-{id_}.safetensors"
        return True

    def _keeps(self, training: Training, pair: int) -> bool:
        return pair < self.keep and training.length == 1.0

    def _train(
        self, wanted: Mapping[_Model, tuple[str, Training]], files: str
    ) -> tuple[dict[str, Any], list[TrialRecord]]:
        """Leaves predictions of the rows held out, by their place among `wanted`, and models."""
        session = self.session
        jobs = [
            Job(
                self._member(training, pair), self._split(pair).holdout,
                keep=self._keeps(training, pair),
            )
            for (_, pair), (_, training) in wanted.items()
        ]  # fmt: skip
        results = session.trainer.train(jobs)
        left = {
            str(index): result.predictions.cpu().contiguous()
            for index, result in enumerate(results)
            if result.predictions is not None
        }
        session.ledger.write_file(f"{files}-{_PREDICTIONS}", save(left))
        for wanted_id in dict.fromkeys(id_ for id_, _ in wanted):
            models = {
                str(pair): from_outcome(session.problem, result.outcome)
                for result, (id_, pair) in zip(results, wanted, strict=True)
                if id_ == wanted_id and result.outcome.weights is not None
            }
            if models:
                save_models(session.ledger, f"{files}-{wanted_id}.safetensors", models)
        return {}, [
            record_of(
                r.outcome,
                self.purpose,
                f"{name} #{pair}",
                f"{self.purpose} {pair}",
                holdout=r.score,
                extra={"arm": name},
            )
            for r, ((_, pair), (name, _)) in zip(results, wanted.items(), strict=True)
        ]

    def _judge_arm(self, arm: Arm, pair: int) -> None:
        """Scores an arm whose trainings of a pair have ended."""
        parts = [self._predicted(training, pair) for training in arm.trainings]
        good = [part for part in parts if part is not None]
        predicted = arm.combined(good) if len(good) == len(parts) else None
        self.judged[arm.id][pair] = None if predicted is None else self._judge(pair, predicted)
        self._flat[arm.id, pair] = predicted is not None and same_for_all(predicted)

    def _predicted(self, training: Training, pair: int) -> Tensor | None:
        file, name = self._predictions[training.id, pair]
        if not name:
            return None
        with safe_open(self.session.ledger.folder / file, framework="pt") as opened:
            found: Tensor = opened.get_tensor(name)
        return found

    def _member(self, training: Training, pair: int) -> Member:
        session, split = self.session, self._split(pair)
        length = max(1, round(session.epochs * training.length))
        seed = session.rows.derive(self.purpose, "seed", pair)
        return session.rows.member(training.recipe, seed, split.train, split.valid, length)

    def rows(self, given: Compared, pair: int) -> Tensor:
        """Returns the rows that an arm's model of a pair trained on; all of them where it is several."""
        each = [self._member(training, pair).train for training in arm_of(given).trainings]
        found: Tensor = torch.unique(torch.cat(each))
        return found

    def kept(self, *given: Compared) -> list[int]:
        """Returns the pairs whose models of all these arms are in the campaign's folder."""
        arms = [self.judged.get(arm_of(each).id, {}) for each in given]
        return [pair for pair in range(self.keep) if all(arm.get(pair) for arm in arms)]

    def load(self, given: Compared, pair: int) -> Trained:
        """Returns a model that is kept."""
        arm, session = arm_of(given), self.session
        models = [
            load_model(
                session.ledger, self._models[training.id, pair], str(pair),
                session.problem, self._member(training, pair).train,
            )
            for training in arm.trainings
        ]  # fmt: skip
        return arm.predictor(models)

    def drop_models(self, *, but: Collection[Compared]) -> None:
        """Deletes the models of all other arms than these: what is not delivered needs no room."""
        ids = {training.id for given in but for training in arm_of(given).trainings}
        needed = {file for (id_, _), file in self._models.items() if id_ in ids}
        for file in set(self._models.values()) - needed:
            (self.session.ledger.folder / file).unlink(missing_ok=True)

    def _constant(self, pair: int) -> HoldoutScore | None:
        """Returns the pair's constant predictor; `None` if the metric has no value for it."""
        if pair not in self._constants:
            problem, split = self.session.problem, self._split(pair)
            targets = problem.targets.cpu()[split.train.cpu()]
            same = constant_predictions(problem.schema, targets, len(split.holdout))
            held = problem.targets.cpu()[split.holdout]
            known = has_value(problem.objective, same, held)
            self._constants[pair] = self._judge(pair, same) if known else None
        return self._constants[pair]

    def _judge(self, pair: int, predictions: Tensor) -> HoldoutScore | None:
        problem, rows = self.session.problem, self._split(pair).holdout
        return holdout_score(problem.objective, predictions, problem.targets.cpu()[rows], rows)

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
            len(problem.targets),
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
        """Returns the mean seconds of an arm's model so far, or of all arms' if it has none.

        By the clock, so with what workers waited for each other in the last trainings.
        """
        return self._slack * sum(self._seconds(each.recipe) for each in arm_of(given).trainings)

    def _seconds(self, recipe: Recipe) -> float:
        mine = [r.seconds for r in self.records if r.recipe_id == recipe.id and r.seconds > 0]
        every = mine or [r.seconds for r in self.records]
        return sum(every) / len(every) if every else 0.0

    def seconds_per_row(self, recipe: Recipe) -> float | None:
        """Returns an arm's seconds per training row and pass."""
        mine = [r for r in self.records if r.recipe_id == recipe.id and r.steps > 0]
        if not mine:
            return None
        return sum(r.seconds for r in mine) / (sum(r.steps for r in mine) * recipe.batch_size)


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
