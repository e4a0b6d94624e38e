"""Fault, fix, proof, through the public face: a fault is planted, found, mended and proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

import pawl


def test_a_planted_fault_is_found_mended_and_proven(tmp_path: Path) -> None:
    """Columns of unlike sizes, and a recipe that leaves them so."""
    known = load_breast_cancer()
    start = pawl.Recipe.of(batch_size={"size": 32}, adamw={"learning_rate": 1e-3})
    result = pawl.optimize(
        (known.data, known.target), baseline=start, trials=4, epochs=4, only=["standardize"],
        ensemble="none", families=["nets"], average=1, metric="log_loss", executor="inline",
        out=tmp_path / "campaign",
    )  # fmt: skip
    told = next(each for each in result.summary.findings if each.rule == "unscaled_inputs")
    assert told.suggests[0] == "standardize"
    first, *others = told.fixes
    assert (first.technique, first.standing) == ("standardize", "proven")
    assert first.trials > 0
    assert first.effect is not None
    assert 0.0 < first.effect.interval[0] < first.effect.value < first.effect.interval[1]
    assert first.effect.p_value <= 0.05
    assert {fix.standing for fix in others} == {"untried"}
    assert told.outcome.startswith("What it suggests is shown to help: standardize +")
    written = json.loads((tmp_path / "campaign" / "summary.json").read_text(encoding="utf-8"))
    (same,) = [each for each in written["findings"] if each["rule"] == "unscaled_inputs"]
    assert same["fixes"][0]["effect"]["interval"] == pytest.approx(list(first.effect.interval))
    page = (tmp_path / "campaign" / "report.html").read_text(encoding="utf-8")
    story = page[page.index("Fault, fix, proof") :]
    for text in (
        "Unscaled inputs",
        "root mean square",
        "tried: standardize in",
        "shown to help: +",
    ):
        assert text in story, text
