"""Small bundles to compress, and what tests of compression share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from problems import frame, plain

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.judging import Judge
from pawl.compression.work import Goals, Work
from pawl.data import load
from pawl.data.types import Examples, Schema
from pawl.deployment import Bundle, write_bundle
from pawl.deployment.export import predict
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.ledger import Ledger
from pawl.options.amounts import MaxLoss
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.metrics import make_objective
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.trained import blended, from_outcome

_PLAN = Plan(TrainingWay("serial", 1), "for the test")


def rows(count: int, seed: int = 0, *, regression: bool = False) -> pd.DataFrame:
    """Rows like those of `problems.frame`, others for each seed."""
    table = frame(count * (seed + 1), regression=regression).iloc[count * seed :]
    return table.reset_index(drop=True)


def bundle_of(
    folder: Path,
    recipes: Sequence[Recipe] = (plain(),),
    *,
    seeds: int = 1,
    count: int = 400,
    epochs: int = 6,
    shift: float | None = None,
    regression: bool = False,
    **task: Any,
) -> Bundle:
    """Trains models of recipes a little, and leaves the bundle of their mean."""
    data = load(Task(data=rows(count, regression=regression)))
    problem = Problem.of(Task(data=data.name), data)
    order = torch.randperm(len(data.development), generator=torch.Generator().manual_seed(0))
    cut = len(order) // 5
    members = [
        Member(r, s, order[cut:], order[:cut], epochs) for r in recipes for s in range(seeds)
    ]
    results = train_all(problem, [Job(m, keep=True) for m in members], lambda _: _PLAN)
    trained = [from_outcome(problem, result.outcome) for result in results]
    whole = blended(trained, (), None, shift)
    metric = "rmse" if regression else "roc_auc"
    task |= {} if shift is None else {"shift": shift}
    with Ledger.create(folder, {}) as ledger:
        return write_bundle(
            ledger, schema=data.schema, graph=whole.graph(data.development.take(torch.arange(4))),
            predictor=whole, recipe=recipes[0].to_toml(), card="# a card\n",
            task={"name": "table", "metric": metric, "direction": "maximize", **task},
        )  # fmt: skip


def work_on(
    schema: Schema,
    rows: Examples,
    graph: bytes,
    weights: Weights | None = None,
    *,
    allowed: MaxLoss | None = None,
    goals: Goals | None = None,
    metric: str | None = None,
    shift: float = 0.0,
) -> tuple[Work, Candidate]:
    """What steps get for a graph, and the graph as what there is."""
    objective = make_objective(metric, None, schema.kind)
    original = weights or Weights({}, ())
    judge = Judge(objective, rows, predict(graph, rows), allowed or MaxLoss(0.01, relative=True))
    work = Work(
        schema=schema, objective=objective, rows=rows, choices=rows, judge=judge, original=original,
        teacher=lambda given: predict(graph, given), goals=goals or Goals(latency=False), shift=shift,
    )  # fmt: skip
    return work, Candidate("original", "", graph, original)
