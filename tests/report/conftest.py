"""Synthetic reports that look like a real campaign's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from pawl.report import CurvePoint, Effect, Report, Summary, TrialPoint, render
from pawl.report.outcome import statement

RECIPE = """\
schema = 1

[[technique]]
name = "standardize"

[[technique]]
name = "batch_norm"
momentum = 0.1

[[technique]]
name = "adamw"
learning_rate = 0.00412
weight_decay = 0.013

[[technique]]
name = "label_smoothing"
amount = 0.06
"""


def technique(name: str, verdict: str, effect: float | None, **more: Any) -> dict[str, Any]:
    half = more.pop("half", 0.004)
    measured = effect is not None
    return {
        "name": name,
        "stage": "model",
        "change": "added",
        "verdict": verdict,
        "in_final": verdict == "kept",
        "effect": effect,
        "interval": (effect - half, effect + half) if effect is not None else None,
        "p_value": 0.0003 if verdict == "kept" else 0.31 if measured else None,
        "n": 20 if measured else 0,
        "settings": {},
        "reason": "Helps in fresh pairs." if verdict == "kept" else "Not shown to help.",
    } | more


def summary_dict(**changes: Any) -> dict[str, Any]:
    """A proven gain in ROC AUC; `changes` replace top-level values."""
    return {
        "schema": 1,
        "task": {
            "name": "churn",
            "source": "churn.csv",
            "target": "exited",
            "kind": "binary",
            "rows": 4300,
            "development_rows": 3440,
            "test_rows": 860,
            "inputs": [f"column_{i}" for i in range(14)],
            "classes": ["no", "yes"],
            "model": "pawl's tabular network",
            "notes": ["3 duplicate rows were dropped.", "`joined` was read as a date."],
        },
        "metric": "roc_auc",
        "direction": "maximize",
        "delivered": "candidate",
        "proven": True,
        "likelihood": 0.99999,
        "baseline": {
            "value": 0.8612,
            "interval": (0.8331, 0.8873),
            "mean": 0.8598,
            "n": 10,
            "averaged": 1,
        },
        "final": {
            "value": 0.8871,
            "interval": (0.8611, 0.9102),
            "mean": 0.8862,
            "n": 10,
            "averaged": 1,
        },
        "gain": {
            "value": 0.0264,
            "interval": (0.0152, 0.0371),
            "p_value": 0.0004,
            "n": 10,
            "proven": True,
            "statement": "",
        },
        "confirmation": {"value": 0.0291, "interval": (0.0212, 0.037), "p_value": 0.00002, "n": 20},
        "techniques": [
            technique(
                "batch_norm",
                "kept",
                0.0131,
                settings={"momentum": 0.1},
                equal_time={
                    "value": 0.0113,
                    "interval": (0.007, 0.0156),
                    "p_value": 0.0009,
                    "n": 20,
                },
                cost_ratio=1.18,
            ),
            technique("depth", "kept", 0.0098, settings={"layers": 4}, change="changed"),
            technique(
                "adamw",
                "kept",
                0.0204,
                half=0.0061,
                change="changed",
                stage="update",
                settings={"learning_rate": 0.004117, "weight_decay": 0.0131},
                reason="A higher learning rate than the baseline's 0.001 helps in all 20 pairs.",
            ),
            technique(
                "one_cycle",
                "unproven",
                0.0018,
                stage="update",
                change="swapped",
                instead_of="cosine",
                in_final=True,
                settings={"peak": 0.3},
                reason="Better in 12 of 20 pairs; kept since the recipe without it may be worse.",
            ),
            technique("label_smoothing", "unproven", -0.0009, stage="loss", half=0.0031),
            technique("mixup", "rejected", -0.0077, stage="batch", p_value=0.004, half=0.0035),
            technique(
                "dropout",
                "rejected",
                -0.0021,
                half=0.0042,
                settings={"rate": 0.2, "last": False},
                reason="The recipe without it is not worse, and it is smaller.",
            ),
            technique("weight_averaging", "unproven", None, stage="weights"),
        ],
        "findings": [
            {
                "rule": "dead_units",
                "severity": "warning",
                "evidence": "61% of the units of layer 2 are active on less than 1% of the rows.",
                "suggests": ["batch_norm", "leaky_relu"],
            },
            {
                "rule": "class_imbalance",
                "severity": "info",
                "evidence": "20% of the rows are of class `yes`.",
                "suggests": [],
            },
        ],
        "cost": {
            "latency_ms": {"baseline": 0.0312, "final": 0.0447},
            "batch_latency_ms": {"baseline": 0.61, "final": 0.88},
            "batch_rows": 256,
            "size_bytes": {"baseline": 71_000, "final": 154_300},
            "parameters": {"baseline": 17_537, "final": 38_145},
        },
        "trials": {"completed": 148, "pruned": 208, "failed": 9, "trained": 512},
        "evidence": {
            "pairs": 20,
            "looks": [5, 10, 20],
            "alpha": 0.05,
            "comparisons": 8,
            "pairing_correlation": 0.93,
            "learning_rate_retuned": True,
            "holdout_share": 0.2,
            "deliver": "likely",
            "trainings": [],
        },
        "test_touches": 1,
        "seconds": 583.2,
        "budget_seconds": 600.0,
        "parts": {
            "time": {
                "version": 1,
                "phases": [
                    {"name": "read", "seconds": 2.5, "waiting": 0.04, "compiling": 0.0},
                    {"name": "search", "seconds": 240.0, "waiting": 30.0, "compiling": 21.0},
                    {"name": "confirm", "seconds": 300.0, "waiting": 12.0, "compiling": 0.0},
                    {"name": "deploy", "seconds": 5.0, "waiting": 1.0, "compiling": 0.0},
                ],
            }
        },
        "seed": 0,
        "versions": {"pawl": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "hardware": {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gb": 8},
        "command": "pawl optimize churn.csv --target exited --budget 10m --seed 0",
        "ledger_digest": "5e" * 32,
    } | changes


def search(count: int = 365, best: float = 0.889, sign: float = 1.0) -> tuple[TrialPoint, ...]:
    draw = random.Random(0)
    trials = []
    for number in range(count):
        status = draw.choices(["completed", "pruned", "failed", "diverged"], [40, 56, 2, 2])[0]
        reach = best - sign * 0.05 * math.exp(-number / 90)
        score = reach - sign * draw.expovariate(60 if status == "completed" else 30)
        trials.append(
            TrialPoint(
                number=number,
                generation=number // 32,
                status=status,  # type: ignore[arg-type]
                score=None if status in {"failed", "diverged"} else score,
                steps=800 if status == "completed" else 100,
                recipe="+ batch_norm, adamw learning_rate 0.004",
                seconds=number * 0.9,
            )
        )
    return tuple(trials)


def learning(seeds: int = 5, steps: int = 40) -> tuple[CurvePoint, ...]:
    draw = random.Random(1)
    return tuple(
        CurvePoint(
            arm=arm,  # type: ignore[arg-type]
            seed=seed,
            step=20 * i,
            train_loss=0.25 + (0.45 * math.exp(-i / pace) + draw.gauss(0, 0.008)),
            valid_score=top - 0.2 * math.exp(-i / pace) + draw.gauss(0, 0.003),
        )
        for arm, pace, top in (("baseline", 9, 0.862), ("final", 5, 0.889))
        for seed in range(seeds)
        for i in range(steps - (seed * 2 if arm == "baseline" else 0))
    )


def stated(summary: Summary, settled_by: str = "") -> Summary:
    """Returns the summary with the statement that follows from its numbers."""
    text = statement(summary, settled_by=settled_by)
    return summary.model_copy(update={"gain": summary.gain.model_copy(update={"statement": text})})


def build(
    *,
    trials: tuple[TrialPoint, ...] | None = None,
    curves: tuple[CurvePoint, ...] | None = None,
    recipe: str = RECIPE,
    **changes: Any,
) -> Report:
    """Returns a report of `summary_dict(**changes)` with the search and curves given, or made."""
    return Report(
        summary=stated(Summary.model_validate(summary_dict(**changes))),
        trials=search() if trials is None else trials,
        curves=learning() if curves is None else curves,
        recipe_toml=recipe,
    )


def unproven() -> Report:
    """A campaign in which nothing was compared: the bundle holds the baseline."""
    arm = {"value": 0.8612, "interval": (0.8331, 0.8873), "mean": 0.8598, "n": 10, "averaged": 1}
    return build(
        delivered="baseline",
        proven=False,
        likelihood=None,
        baseline=arm,
        final=arm,
        confirmation=None,
        gain={
            "value": 0.0,
            "interval": (0.0, 0.0),
            "p_value": 1.0,
            "n": 10,
            "proven": False,
            "statement": "",
        },
        techniques=[technique("mixup", "unproven", 0.0011), technique("depth", "unproven", None)],
    )


def minimized() -> Report:
    """A regression, where less is better, with wide values and one interval far wider still."""
    return build(
        metric="rmse",
        direction="minimize",
        baseline={
            "value": 3412.0,
            "interval": (3204.0, 3630.0),
            "mean": 3420.0,
            "n": 5,
            "averaged": 1,
        },
        final={
            "value": 2981.0,
            "interval": (2790.0, 3170.0),
            "mean": 2990.0,
            "n": 5,
            "averaged": 1,
        },
        gain={
            "value": 430.0,
            "interval": (302.0, 561.0),
            "p_value": 0.00001,
            "n": 5,
            "proven": True,
            "statement": "",
        },
        confirmation=Effect(value=410.0, interval=(300.0, 520.0), p_value=0.0001, n=5).model_dump(),
        techniques=[
            technique("width", "kept", 120.0, half=60.0, change="removed"),
            technique("depth", "unproven", 40.0, half=90.0, change="changed"),
            technique("mixup", "unproven", 10.0, half=5000.0),
        ],
        trials=search(120, best=2950.0, sign=-1.0),
    )


@pytest.fixture(scope="session")
def make() -> Callable[..., Report]:
    return build


@pytest.fixture(scope="session")
def cases() -> dict[str, Report]:
    return {
        "proven": build(),
        "unproven": unproven(),
        "minimized": minimized(),
        "bare": build(
            trials=(), curves=(), recipe="", techniques=[], findings=[], confirmation=None
        ),
    }


@pytest.fixture(scope="session")
def pages(cases: dict[str, Report]) -> dict[str, str]:
    return {name: render(report) for name, report in cases.items()}
