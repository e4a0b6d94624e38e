"""Trainings on the folds of one purpose: each once, with predictions and, of the first pairs, models."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from pawl.evidence.arms import Training
from pawl.execution import FOLDS, Job, Resplit, Session, record_of
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import KeptModel, from_outcome, save_models

Place = tuple[str, int]
"""A training's or an arm's id, and the number of a pair."""

_PREDICTIONS = "predictions.safetensors"


class FoldTrainings:
    """Trainings of one purpose, by their id and the number of their pair.

    Args:
        session: The campaign's.
        purpose: Names the folds and seeds; another purpose has fresh ones.
        rows: What the folds are of.
        folds: Most folds of these rows.
        keep: How many of the first pairs leave their models in the campaign's folder.

    Attributes:
        records: All so far.
        folds: Pairs that hold out every row once.
    """

    def __init__(
        self, session: Session, purpose: str, rows: Tensor, folds: int = FOLDS, *, keep: int = 0
    ) -> None:
        self.session = session
        self.purpose = purpose
        self.keep = keep
        self.records: list[TrialRecord] = []
        self._rows, self.folds = rows, session.rows.num_folds(rows, folds)
        self._models: dict[Place, str] = {}  # the file with its model
        self._predictions: dict[Place, tuple[str, str]] = {}  # file and name; "" where it failed
        self._splits: dict[int, Resplit] = {}
        self._slack = 1.0  # by the clock over the sum of the trainings' times, in the last unit

    def __contains__(self, place: Place) -> bool:
        return place in self._predictions

    def split(self, pair: int) -> Resplit:
        """Returns the rows of a pair."""
        if pair not in self._splits:
            found = self.session.rows.resplit(self.purpose, pair, self._rows, self.folds)
            self._splits[pair] = found
        return self._splits[pair]

    def member(self, training: Training, pair: int) -> Member:
        """Returns a training of a pair, before it is trained."""
        session, split = self.session, self.split(pair)
        length = max(1, round(session.epochs * training.length))
        seed = session.rows.derive(self.purpose, "seed", pair)
        return session.rows.member(training.recipe, seed, split.train, split.valid, length)

    def add(self, key: str, wanted: Mapping[Place, tuple[str, Training]]) -> bool:
        """Trains these as one unit of the ledger; tells whether there was time for it.

        Args:
            key: The unit's name.
            wanted: What is not there yet, with the name of an arm that it is for.
        """
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
        self, wanted: Mapping[Place, tuple[str, Training]], files: str
    ) -> tuple[dict[str, Any], list[TrialRecord]]:
        """Leaves predictions of the rows held out, by their place among `wanted`, and models."""
        session = self.session
        jobs = [
            Job(
                self.member(training, pair), self.split(pair).holdout,
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

    def predicted(self, training: Training, pair: int) -> Tensor | None:
        """Returns the predictions of the rows held out, `None` if the training failed."""
        file, name = self._predictions[training.id, pair]
        if not name:
            return None
        with safe_open(self.session.ledger.folder / file, framework="pt") as opened:
            found: Tensor = opened.get_tensor(name)
        return found

    def kept(self, training: Training, pair: int) -> KeptModel:
        """Returns a model that is kept."""
        path = self.session.ledger.folder / self._models[training.id, pair]
        rows = self.member(training, pair).train
        return KeptModel(path, str(pair), self.session.problem, rows)

    def drop_models(self, *, but: Collection[str]) -> None:
        """Deletes the models of all trainings but those of these ids."""
        needed = {file for (id_, _), file in self._models.items() if id_ in but}
        for file in set(self._models.values()) - needed:
            (self.session.ledger.folder / file).unlink(missing_ok=True)

    def seconds(self, recipe: Recipe) -> float:
        """Returns the mean seconds of a recipe's trainings so far, or of all if it has none.

        By the clock, so with what workers waited for each other in the last trainings.
        """
        mine = [r.seconds for r in self.records if r.recipe_id == recipe.id and r.seconds > 0]
        every = mine or [r.seconds for r in self.records]
        return self._slack * sum(every) / len(every) if every else 0.0

    def seconds_per_row(self, recipe: Recipe) -> float | None:
        """Returns a recipe's seconds per training row and pass."""
        mine = [r for r in self.records if r.recipe_id == recipe.id and r.steps > 0]
        if not mine:
            return None
        batch = min(recipe.batch_size, len(self.session.problem.targets))
        return sum(r.seconds for r in mine) / (sum(r.steps for r in mine) * batch)
