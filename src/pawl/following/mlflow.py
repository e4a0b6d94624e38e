"""MLflow, by its client: an experiment for each campaign's name, a run for each training."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from pawl.report.text import finite
from pawl.serving.reading import Curve, Known, Trial
from pawl.serving.telling import flat

# Before it is imported: a server that does not answer is given up soon.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
_STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "pruned": "KILLED"}
_LONGEST, _MOST = 500, 900
_BATCH_PARAMS = 90


class MLflow:
    """Writes each training as a run.

    Args:
        address: The tracking server's, as `http://127.0.0.1:5000`, `sqlite:///runs.db` or a folder.
    """

    def __init__(self, address: str) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415

        self._client: Any = MlflowClient(tracking_uri=address)
        self._experiment: str | None = None

    def _of(self, known: Known) -> str:
        if self._experiment is None:
            name = f"pawl {known.name}"[:_LONGEST]
            there = self._client.get_experiment_by_name(name)
            found = self._client.create_experiment(name) if there is None else there.experiment_id
            self._experiment = str(found)
        return self._experiment

    def trial(self, known: Known, trial: Trial, curve: Curve, layers: dict[str, Any]) -> None:
        """Writes settings, loss and score over steps, what layers did, and final scores."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        now, metric = int(1000 * time.time()), known.metric or "score"
        tags = {
            "phase": trial.phase, "role": trial.role, "status": trial.status,
            "reason": trial.reason, "recipe": trial.recipe_id, "seed": str(trial.seed),
        }  # fmt: skip
        run = self._client.create_run(self._of(known), run_name=f"{trial.phase} {trial.id}")
        id = run.info.run_id
        found = [
            (name, value, int(step))
            for step, loss, score in curve
            for name, value in (("train_loss", loss), (f"valid_{metric}", score))
        ]
        for at, step in enumerate(layers.get("steps", ())):
            for what in ("gradients", "moved", "norms"):
                pairs = zip(layers["names"], layers[what][at], strict=False)
                found += [(f"{what}/{name}", value, int(step)) for name, value in pairs]
        found += [
            ("validation", trial.score, trial.steps),
            ("held_out", trial.holdout, trial.steps),
        ]
        metrics = [
            Metric(_plain(name), float(value), now, step)
            for name, value, step in found
            if value is not None and finite(value)
        ]
        settings = flat(trial.recipe).items()
        params = [Param(_plain(name), str(value)[:_LONGEST]) for name, value in settings]
        given = [RunTag(name, value[:_LONGEST]) for name, value in tags.items()]
        for start in range(0, max(len(params), 1), _BATCH_PARAMS):
            self._client.log_batch(id, params=params[start : start + _BATCH_PARAMS])
        for start in range(0, len(metrics), _MOST):
            self._client.log_batch(id, metrics=metrics[start : start + _MOST])
        self._client.log_batch(id, tags=given)
        self._client.set_terminated(id, status=_STATUS.get(trial.status, "FAILED"))

    def ended(self, known: Known) -> None:
        """Writes what the campaign found, as a run of its own."""
        summary = known.summary or {}
        gain = summary.get("gain") or {}
        run = self._client.create_run(self._of(known), run_name="campaign")
        told = str(gain.get("statement") or summary.get("statement") or "")
        self._client.set_tag(run.info.run_id, "statement", told[: 5 * _LONGEST])
        self._client.set_tag(run.info.run_id, "proven", str(bool(summary.get("proven"))))
        if finite(gain.get("value")):
            self._client.log_metric(run.info.run_id, "gain", float(gain["value"]))
        self._client.set_terminated(run.info.run_id)

    def close(self) -> None:
        """Nothing is held back."""


def _plain(name: str) -> str:
    """Returns a name as MLflow allows it."""
    return re.sub(r"[^\w\-./ ]", "_", name)[:250]
