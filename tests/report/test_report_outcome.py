"""What is said follows the numbers, in every combination of proven, delivered and seen."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from problems import problem
from rich.console import Console

from pawl.cli import show
from pawl.recipe import Recipe
from pawl.report import Report, Summary, render
from pawl.report.card import card
from pawl.report.findings import nothing_learned
from pawl.report.outcome import headline, settling

BETTER, HOLDS_ZERO = (0.0152, 0.0371), (-0.0041, 0.0374)
NEGATIVE, WORSE = (-0.021, 0.009), (-0.0312, -0.0101)
RISE = re.compile(r"improves|\brises\b|\bfalls\b")


@dataclass(frozen=True)
class Case:
    """A campaign's outcome, its headline, and what its statement must and must not say."""

    proven: bool
    delivered: str
    test: tuple[float, float] | None
    headline: str
    says: tuple[str, ...]
    not_says: tuple[str, ...] = ()


PROVEN_UNSEEN = "Proven on fresh pairs, not seen on the test rows."
CASES = {
    "proven, better on the test rows": Case(
        True, "candidate", BETTER, "Proven: ROC AUC rises from 0.860 to 0.886.",
        ("improves ROC AUC on 860 test rows", "confirmed over 20 fresh pairs"),
        ("not proven", "zero"),
    ),
    "proven, positive but zero inside": Case(
        True, "candidate", HOLDS_ZERO, PROVEN_UNSEEN,
        ("shown to beat the baseline over 20 fresh pairs", "860 test rows do not show it",
         "which holds zero"), ("improves",),
    ),
    "proven, negative with zero inside": Case(
        True, "candidate", NEGATIVE, PROVEN_UNSEEN,
        ("shown to beat the baseline over 20 fresh pairs", "860 test rows do not show it"),
    ),
    "proven, worse on the test rows": Case(
        True, "candidate", WORSE, "Proven on fresh pairs, but worse on the test rows.",
        ("shown to beat the baseline over 20 fresh pairs", "860 test rows say the opposite",
         "all of it below zero"),
    ),
    "likely, better on the test rows": Case(
        False, "candidate", BETTER, "Likely better, not proven.",
        ("Likely better, not proven: +0.012 (\u22120.002 to +0.025) in ROC AUC over 20 fresh pairs, "
         "94% likely; the bundle holds it.", "that is no proof"),
    ),
    "likely, positive but zero inside": Case(
        False, "candidate", HOLDS_ZERO, "Likely better, not proven.",
        ("94% likely", "which holds zero"), ("no proof",),
    ),
    "likely, negative with zero inside": Case(
        False, "candidate", NEGATIVE, "Likely better, not proven.",
        ("94% likely", "which holds zero"),
    ),
    "likely, worse on the test rows": Case(
        False, "candidate", WORSE, "Likely better, not proven; worse on the test rows.",
        ("94% likely", "all of it below zero"),
    ),
    "the baseline stays": Case(
        False, "baseline", None, "No proven gain.",
        ("is not shown to beat the baseline", "+0.012 (\u22120.002 to +0.025)", "the bundle holds the "
         "baseline (ROC AUC 0.860 on 860 test rows)"), ("test rows from",),
    ),
}  # fmt: skip


def changes(case: Case, seeds: int) -> dict[str, Any]:
    low, high = case.test or (0.0, 0.0)
    gain = (low + high) / 2
    arm = {"value": 0.861, "interval": (0.833, 0.887), "mean": 0.8598, "n": seeds, "averaged": 1}
    final = arm | {"mean": 0.8598 + gain, "value": 0.861 + gain}
    fresh = (0.0291, (0.0212, 0.037), 0.00002) if case.proven else (0.0118, (-0.002, 0.025), 0.12)
    return {
        "proven": case.proven,
        "delivered": case.delivered,
        "likelihood": 0.99999 if case.proven else 0.94,
        "baseline": arm,
        "final": final,
        "gain": {
            "value": gain, "interval": (low, high), "p_value": 0.2, "n": seeds,
            "proven": case.proven, "statement": "",
        },
        "confirmation": dict(zip(("value", "interval", "p_value"), fresh, strict=True)) | {"n": 20},
    }  # fmt: skip


def terminal(summary: Summary, monkeypatch: pytest.MonkeyPatch) -> str:
    text = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=text, width=10_000, markup=False, no_color=True))
    show.campaign(SimpleNamespace(summary=summary, folder=Path("out"), report=Path("out/r.html")))
    return text.getvalue()


@pytest.mark.parametrize("seeds", [1, 10])
@pytest.mark.parametrize("name", CASES)
def test_every_face_follows_the_numbers(
    name: str, seeds: int, make: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    report = make(**changes(case, seeds), trials=(), curves=())
    summary = report.summary
    said = summary.gain.statement
    html = render(report)
    faces = {
        "page": re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html)),
        "card": card(summary, Recipe.of(adamw={})),
        "terminal": terminal(summary, monkeypatch),
    }
    assert headline(summary) == case.headline
    assert f"<h1>{case.headline}</h1>" in html
    for words in case.says:
        assert words in said
    for words in case.not_says:
        assert words not in said
    for face, text in faces.items():
        assert said in text.replace("\u00a0", " ") or face == "page", face
        if case.headline != CASES["proven, better on the test rows"].headline:
            assert not RISE.search(text), face
        # The accent is for what is proven and seen.
    accented = 'class="accent"' in html and '<header class="proven">' in html
    assert accented == (case.proven and case.test == BETTER)
    # One model of each arm says nothing of others.
    one = case.test is not None and seeds == 1
    assert ("over rows only: one model of each arm" in said) == one
    assert ("rows only" in faces["page"]) == one
    assert ("pairs of models" in said) == (case.test is not None and seeds > 1)


def test_nothing_compared_names_no_comparison(
    cases: dict[str, Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = cases["unproven"].summary
    techniques = [
        t.model_copy(update={"effect": None, "interval": None}) for t in summary.techniques
    ]
    shown = terminal(summary.model_copy(update={"techniques": techniques}), monkeypatch)
    assert "No recipe did better than the baseline" in shown
    assert "Its changes" not in shown
    assert "was not compared" in shown


def test_only_what_is_proven_was_to_be_delivered(make: Callable[..., Report]) -> None:
    case = CASES["the baseline stays"]
    evidence = make().summary.evidence.model_dump() | {"deliver": "proven"}
    report = make(**changes(case, 5), evidence=evidence, trials=(), curves=())
    assert "as only a proven recipe was to be delivered" in report.summary.gain.statement
    assert "was to hold only a recipe that is shown to be better" in render(report)


@pytest.mark.parametrize(
    ("to_settle", "budget", "said"),
    [
        (None, 60.0, ""),
        (float("inf"), 60.0, "probably too few"),
        (18.0, 60.0, "about 18 pairs would show it: try --budget 60s"),
        (19.0, 600.0, "try --budget 10m"),
        (19.0, 7200.0, "try --budget 114m"),
        (19.0, 36000.0, "try --budget 10h"),
        (19.0, None, "more --trials make more pairs"),
        (44.0, 60.0, "about 44 pairs to show it, more than the 20 that a campaign makes"),
    ],
)
def test_what_would_settle_it(
    make: Callable[..., Report], to_settle: float | None, budget: float | None, said: str
) -> None:
    given = changes(CASES["likely, positive but zero inside"], 5) | {"budget_seconds": budget}
    text = settling(make(**given).summary, to_settle, 20)
    assert said in text
    assert bool(said) == bool(text)
    proven = changes(CASES["proven, better on the test rows"], 5) | {"budget_seconds": budget}
    assert settling(make(**proven).summary, to_settle, 20) == ""


def test_failed_trainings_are_said(make: Callable[..., Report]) -> None:
    arm = {"arm": "candidate", "phase": "confirm", "trained": 20, "failed": 5, "failed_share": 0.25}
    evidence = make().summary.evidence.model_dump()
    page = render(make(evidence=evidence | {"trainings": [arm]}, trials=(), curves=()))
    assert "candidate, fresh pairs: 5 of 20 (25%)" in page
    none = render(make(evidence=evidence | {"trainings": [arm | {"failed": 0}]}, trials=()))
    assert "Trainings that failed" not in none


def test_an_average_is_told_beside_as_many_baselines(make: Callable[..., Report]) -> None:
    case = CASES["proven, better on the test rows"]
    found = changes(case, 10)
    both = {name: found[name] | {"averaged": 5} for name in ("baseline", "final")}
    said = make(**found | both, trials=(), curves=()).summary.gain.statement
    words = r"averages 5 such models: ROC AUC 0\.\d+; as many baselines averaged have 0\.861\."
    assert re.search(words, said), said
    unlike = {"final": both["final"]}
    said = make(**found | unlike, trials=(), curves=()).summary.gain.statement
    assert "averages 5 such models" in said
    assert "as many baselines" not in said


def test_scaling_is_suggested_where_there_is_something_to_scale() -> None:
    bare = Recipe.of(adamw={})
    suggested = {
        kind: nothing_learned("final", "all the same", bare, problem(kind).facts()).suggests
        for kind in ("table", "words")
    }
    assert suggested == {"table": ["standardize"], "words": []}
    scaled = Recipe.of(adamw={}, standardize={})
    assert nothing_learned("final", "", scaled, problem("table").facts()).suggests == []


def test_what_learned_nothing_is_said(
    make: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = {
        "rule": "learned_nothing",
        "severity": "critical",
        "evidence": "the final model learned nothing: it predicts the same for every row",
        "suggests": ["standardize"],
    }
    report = make(findings=[finding], trials=(), curves=())
    assert finding["evidence"] in render(report)
    assert finding["evidence"] in card(report.summary, Recipe.of(adamw={}))
    assert f"critical: {finding['evidence']}; try standardize" in terminal(
        report.summary, monkeypatch
    )
