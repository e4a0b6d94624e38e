"""Bundles of small trainings, as campaigns leave them."""

from __future__ import annotations

from pathlib import Path

import torch
from problems import member, plain

from pawl.data import load
from pawl.deployment import write_bundle
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.ledger import Ledger
from pawl.task import Task
from pawl.training.problem import Problem
from pawl.training.trained import from_outcome


def bundle_of(task: Task, folder: Path, metric: str = "roc_auc", epochs: int = 8) -> Path:
    """Trains a little, and leaves a bundle as a campaign does; returns the campaign's folder."""
    data = load(task)
    problem = Problem.of(task, data)
    chosen = Plan(TrainingWay("serial", 1), "for the test")
    job = Job(member(plain(), epochs=epochs), keep=True)
    (result,) = train_all(problem, [job], lambda _: chosen)
    trained = from_outcome(problem, result.outcome)
    graph = trained.graph(data.development.take(torch.arange(4)))
    with Ledger.create(folder, {}) as ledger:
        write_bundle(
            ledger, schema=data.schema, graph=graph, predictor=trained,
            recipe=plain().to_toml(), task={"name": data.name, "metric": metric}, card="# a card\n",
        )  # fmt: skip
    return folder
