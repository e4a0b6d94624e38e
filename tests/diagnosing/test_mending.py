"""What a diagnosis would do: the first suggestion of each finding that can come in."""

from __future__ import annotations

from typing import Any

import pytest
from problems import problem

from pawl.diagnosing import Finding, mended
from pawl.recipe import Recipe
from pawl.techniques import Facts

START = Recipe.of(batch_size={"size": 32}, adamw={"learning_rate": 1e-5})


@pytest.fixture(scope="module")
def facts() -> Facts:
    return problem("table").facts()


def finding(*suggests: str, **more: Any) -> Finding:
    known: dict[str, Any] = {"severity": "warning", "evidence": "it is so", "strength": 2.0}
    return Finding(rule="made_up", suggests=suggests, **{**known, **more})


def test_each_finding_brings_in_the_first_that_it_suggests(facts: Facts) -> None:
    found = mended(
        [finding("standardize", "robust_scale"), finding("dropout", "ema")], START, facts
    )
    assert found == START.with_("standardize").with_("dropout")


def test_what_is_there_makes_way_for_the_next_unless_it_is_known_what_to_set(facts: Facts) -> None:
    assert mended([finding("adamw", "cosine")], START, facts) == START.with_("cosine")
    known = finding("adamw", "cosine", tries={"learning_rate": 1e-3})
    assert mended([known], START, facts) == START.with_("adamw", learning_rate=1e-3)
    beyond = finding("adamw", "cosine", tries={"learning_rate": 1e9})
    assert mended([beyond], START, facts) == START.with_("cosine")


def test_remarks_what_does_not_fit_and_what_is_not_allowed_stay_out(facts: Facts) -> None:
    remark = finding("dropout", severity="info")
    unfit = finding("random_crop", "ema")
    assert mended([remark, unfit], START, facts) == START.with_("ema")
    assert mended([finding("dropout", "ema")], START, facts, only=["ema"]) == START.with_("ema")
    assert mended([finding("dropout")], START, facts, only=["ema"]) == START
    assert mended([], START, facts) == START


def test_what_a_graver_finding_brought_in_stays(facts: Facts) -> None:
    found = mended([finding("robust_scale"), finding("standardize", "ema")], START, facts)
    assert found == START.with_("robust_scale").with_("ema")
