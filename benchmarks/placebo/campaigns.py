"""The campaigns of each part: what they start from, what they may find, and how they are recorded."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from techniques import PLACEBOS

from pawl import rng
from pawl.campaign import search_and_prove
from pawl.data import LoadedData, load
from pawl.evidence import CampaignOutcome, Comparison, final_test, lead
from pawl.execution import Session, pick_device
from pawl.ledger import Ledger
from pawl.options import Options
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.problem import Problem

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FRESH_SEEDS = 24
"""Seeds of each arm that the true gain is the mean over."""
_HELD_OUT = 20_000


@dataclass(frozen=True)
class Case:
    """One kind of campaign.

    Attributes:
        part: `placebo`, `planted`, `coverage` or `noise`: rows with other rows' targets, so that every
            model's ROC AUC is one half in truth and no gain is true.
        name: Of the case.
        table: A data set's name.
        rows: Development rows, drawn anew for each campaign.
        trials: Of the search.
        epochs: Of a training.
        baseline: The recipe to beat.
        only: Techniques that may come in or be varied; the placebos too, except for `coverage`.
        planted: Of these, the ones of known worth.
        metric: What counts; by the task if `None`.
        test_rows: Rows of the campaign's test file.
    """

    part: str
    name: str
    table: str
    rows: int
    trials: int
    epochs: int
    baseline: Recipe
    only: tuple[str, ...] = ()
    planted: tuple[str, ...] = ()
    metric: str | None = None
    test_rows: int = 400


def _start(**changed: dict[str, Any]) -> Recipe:
    plain: dict[str, dict[str, Any]] = {
        "standardize": {},
        "batch_size": {"size": 64},
        "adamw": {"learning_rate": 3e-3},
        "early_stopping": {},
    }
    return Recipe.from_dict({**plain, **changed})


_REGULARIZERS = ("dropout", "weight_decay", "early_stopping")
_RATE = ("adamw",)
CASES = (
    *(
        Case("placebo", f"placebos only, {table}", table, 600, trials, 6, _start())
        for table, trials in (("adult", 10), ("beijing", 16), ("wine", 10))
    ),
    *(
        Case("planted", "unscaled inputs", table, 600, 16, 8, _start().without("standardize"),
             ("standardize",), ("standardize",))
        for table in ("adult", "beijing")
    ),
    *(
        Case("planted", "learning rate far too low", table, 600, 16, 8,
             _start(adamw={"learning_rate": 2e-5}), _RATE, _RATE)
        for table in ("adult", "wine")
    ),
    *(
        Case("planted", "overfitting on few rows", table, 300, 16, 60,
             _start(adamw={"learning_rate": 1e-2}).without("early_stopping"),
             _REGULARIZERS, _REGULARIZERS, "log_loss")
        for table in ("adult", "wine-classes")
    ),
    *(
        Case("coverage", f"final gain, {table}", table, 1200, 10, 4,
             _start(adamw={"learning_rate": 3e-4}), ("adamw", "one_cycle", "ema", "dropout"),
             test_rows=600)
        for table in ("adult", "beijing")
    ),
    Case("coverage", "final gain, many predictors, beijing", "beijing", 1200, 10, 4,
         _start(adamw={"learning_rate": 3e-4}), ("adamw", "tabm", "piecewise_linear"),
         test_rows=600),
    *(
        Case("coverage", f"final gain, blends with learners, {table}", table, 1200, 16, 4,
             _start(), ("adamw", "one_cycle", "ema"), test_rows=600)
        for table in ("adult", "beijing")
    ),
    *(
        Case("noise", f"blends with learners where targets are drawn at random, {table}", table, 600,
             16, 6, _start(), ("adamw", "one_cycle", "ema"))
        for table in ("adult", "wine-classes")
    ),
)  # fmt: skip


@functools.cache
def frame(table: str) -> tuple[pd.DataFrame, str]:
    """Returns a data set, rows without a target left out, and the target's name."""
    if table == "adult":
        parts = [
            pd.read_csv(DATA / f"adult-{part}.csv", na_values="?", skipinitialspace=True)
            for part in ("train", "test")
        ]
        rows = pd.concat(parts, ignore_index=True)
        return rows.assign(income=rows["income"].str.rstrip(".")), "income"
    if table == "beijing":
        return pd.read_csv(DATA / "beijing-pm25.csv").dropna(subset="pm2.5"), "pm2.5"
    rows = pd.read_csv(DATA / "wine-red.csv")
    if table == "wine-classes":
        return rows.assign(quality=np.where(rows["quality"] > 5, "good", "plain")), "quality"
    return rows, "quality"


def _task(case: Case, number: int, held_out: int = 0) -> Task:
    """Returns a campaign's task, or the same development rows tested on `held_out` other rows."""
    rows, target = frame(case.table)
    if case.part == "noise":
        order = np.random.default_rng(rng.derive_seed("noise", case.table, number))
        rows = rows.assign(**{target: order.permutation(rows[target].to_numpy())})
    seed = rng.derive_seed("rows", case.name, case.table, number)
    order = np.random.default_rng(seed).permutation(len(rows))
    end = case.rows + case.test_rows
    tested = order[end : end + held_out] if held_out else order[case.rows : end]
    development = rows.iloc[order[: case.rows]].reset_index(drop=True)
    test = rows.iloc[tested].reset_index(drop=True)
    return Task(
        data=development,
        target=target,
        metric=case.metric,
        test=test,
        name=f"{case.table} {number}",
    )


def run(case: Case, number: int) -> dict[str, Any]:
    """Runs one campaign up to its final test and returns its record."""
    started = time.process_time()
    placebos = PLACEBOS if case.part in ("placebo", "planted") else ()
    only = (*case.only, *placebos)
    options = Options(
        trials=case.trials, seed=number, device="cpu", baseline=case.baseline, only=only,
        epochs=case.epochs,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        with _session(_task(case, number), Path(scratch) / "campaign", number) as (session, data):
            found = search_and_prove(session, data, options)
        record = {"part": case.part, "case": case.name, "table": case.table, "number": number,
                  **_outcome(found, case)}  # fmt: skip
        if case.part == "coverage" and record["proven"]:
            truth = _true_gain(case, number, found, Path(scratch) / "truth")
            low, high = record["gain"]["interval"]
            record |= {"truth": _plain(truth), "covered": low <= truth.effect <= high}
    return record | {"cpu_seconds": round(time.process_time() - started, 2)}


@contextlib.contextmanager
def _session(task: Task, folder: Path, seed: int) -> Iterator[tuple[Session, LoadedData]]:
    data = load(task, seed=seed)
    problem = Problem.of(task, data, pick_device("cpu"))
    with Ledger.create(folder, {"what": "benchmark", "fingerprint": data.fingerprint}) as ledger:
        yield Session(problem, ledger, seed), data


def _true_gain(case: Case, number: int, found: CampaignOutcome, folder: Path) -> Comparison:
    """Returns the gain of the two recipes on rows held out from the campaign, over fresh seeds.

    Both are trained anew on the campaign's development rows: what the campaign's interval is for.
    """
    task = _task(case, number, held_out=_HELD_OUT)
    with _session(task, folder, rng.derive_seed("truth", number)) as (session, data):
        session.epochs = case.epochs
        test = final_test(
            session, found.baseline, found.confirmation.delivered, data.test, FRESH_SEEDS
        )
    return test.result.gain


def _plain(comparison: Comparison) -> dict[str, Any]:
    return asdict(comparison)


def _outcome(found: CampaignOutcome, case: Case) -> dict[str, Any]:
    confirmation = found.confirmation
    final = [change.name for change in lead(confirmation.delivered).changes(found.baseline)]
    return {
        "proven": confirmation.proven,
        "members": len(confirmation.candidate.trainings),
        "learners": sum(t.recipe.learner is not None for t in confirmation.candidate.trainings),
        "p_value": confirmation.p_value,
        "final": final,
        "planted": list(case.planted),
        "correlation": confirmation.correlation,
        "gain": _plain(found.test.result.gain),
        "verdicts": [
            {
                "name": v.change.name,
                "verdict": v.verdict,
                "in_final": v.in_final,
                "p_value": v.p_value,
                "effect": None if v.comparison is None else v.comparison.effect,
                "pairs": 0 if v.comparison is None else v.comparison.n,
            }
            for v in confirmation.verdicts
        ],
    }
