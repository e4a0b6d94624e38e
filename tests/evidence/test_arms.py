"""Arms: blends of several recipes are compared, tested and delivered like a recipe's own models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up import BASE, by_recipe, made_up, rows_for

from pawl.evidence import Blend, Pairs, Single, final_test
from pawl.recipe import Recipe
from pawl.training.metrics import score
from pawl.training.population import Member

OTHER, THIRD = BASE.with_("depth", layers=3), BASE.with_("depth", layers=4)


@given(
    st.lists(st.floats(0.01, 100.0), min_size=3, max_size=3),
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3),
)
def test_a_blend_is_a_weighted_mean(weights: list[float], values: list[float]) -> None:
    arm = Blend((BASE, OTHER, THIRD), tuple(weights))
    assert sum(arm.shares) == pytest.approx(1.0)
    mixed = arm.combined([torch.full((2, 3), value) for value in values])
    expected = np.dot(weights, values) / sum(weights)
    np.testing.assert_allclose(mixed.numpy(), np.full((2, 3), expected), rtol=1e-3, atol=1e-3)
    assert min(values) - 1e-3 <= float(mixed[0, 0]) <= max(values) + 1e-3


def test_identifiers_are_equal_for_equal_arms_only() -> None:
    assert Single(BASE).id == BASE.id == Single(BASE, 1.0).id
    assert Single(BASE, 2.0).id != BASE.id
    assert Blend((BASE, OTHER)).id == Blend((BASE, OTHER), (2.0, 2.0)).id
    arms = [
        Single(BASE),
        Single(OTHER),
        Blend((BASE, OTHER)),
        Blend((BASE, OTHER), (2.0, 1.0)),
        Blend((BASE, THIRD)),
        Blend((BASE,)),
    ]
    assert len({arm.id for arm in arms}) == len(arms)


@pytest.mark.parametrize(
    ("recipes", "weights"), [((), ()), ((BASE,), (1.0, 1.0)), ((BASE, OTHER), (1.0, 0.0))]
)
def test_a_wrong_blend_is_refused(recipes: tuple[Recipe, ...], weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="give"):
        Blend(recipes, weights)


def opposed(recipe: Recipe, member: Member) -> float:
    """Two recipes whose errors cancel half-way, and one that is as far off as they are."""
    return {BASE.id: 2.0, OTHER.id: -1.0, THIRD.id: 1.0}[recipe.id]


def test_a_blend_shares_trainings_with_its_recipes_and_is_judged_by_its_mean(
    tmp_path: Path,
) -> None:
    blend = Blend((OTHER, THIRD))
    with made_up(tmp_path, opposed) as session:
        pairs = Pairs(session, "confirm", session.rows.parts[1], keep=2)
        assert pairs.run("first", {"baseline": BASE, "other": OTHER}, range(4))
        before = len(session.asked)
        assert pairs.run("second", {"blend": blend, "other": OTHER}, range(4))
        # Only what was missing: its other recipe.
        assert len(session.asked) - before == 4
        assert {member.recipe.id for member in session.asked[before:]} == {THIRD.id}
        # What was trained for the blend is there for a recipe alone.
        trained = len(session.asked)
        assert pairs.run("third", {"third": THIRD}, range(4))
        assert len(session.asked) == trained
        # Errors of 1 and -1 by the same noise cancel.
        assert pairs.mean(blend) == pytest.approx(0.0, abs=1e-5)
        assert pairs.mean(OTHER) == pytest.approx(pairs.mean(THIRD))
        found = pairs.compare(blend, BASE)
        assert found.n == 4
        assert found.effect == pytest.approx(-pairs.mean(BASE), rel=1e-4)
        # By the clock a model of the blend is one of each.
        assert pairs.seconds(blend) == pytest.approx(pairs.seconds(OTHER) + pairs.seconds(THIRD))
        assert pairs.kept(blend) == [0, 1]
        assert [part.recipe for part in pairs.load(blend, 0).parts] == [OTHER, THIRD]
        folder = session.ledger.folder
        pairs.drop_models(but=[blend])
        left = {
            path.name.rpartition("-")[2] for path in (folder / "artifacts").glob("confirm-*-?*")
        }
        assert {f"{OTHER.id}.safetensors", f"{THIRD.id}.safetensors"} <= left
        assert f"{BASE.id}.safetensors" not in left


def test_a_blend_with_a_training_that_failed_has_failed(tmp_path: Path) -> None:
    failing: set[int] = set()

    def world(recipe: Recipe, member: Member) -> float | None:
        return None if member.seed in failing and recipe == THIRD else 1.0

    with made_up(tmp_path, world) as session:
        failing.add(session.rows.derive("confirm", "seed", 1))
        pairs = Pairs(session, "confirm", session.rows.parts[1], keep=3)
        arms = {"blend": Blend((OTHER, THIRD)), "other": OTHER}
        assert pairs.run("look", arms, range(3))
        assert [bool(pairs.judged[arms["blend"].id][n]) for n in range(3)] == [True, False, True]
        assert all(pairs.judged[OTHER.id].values())
        # It counts as the constant predictor, as a recipe's failed training does.
        assert pairs.of(arms["blend"])[1].value > pairs.of(OTHER)[1].value
        assert pairs.kept(arms["blend"]) == [0, 2]


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_blend_is_tested_and_kept(tmp_path: Path, confirmed: bool) -> None:
    """By the confirmation's models, or by ones that are trained for the test."""
    blend = Blend((OTHER, THIRD), (3.0, 1.0))
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, OTHER.id: 1.0, THIRD.id: 1.0})) as session:
        rows, pairs = rows_for(session), None
        if confirmed:
            pairs = Pairs(session, "confirm", session.rows.parts[1], keep=3)
            assert pairs.run("look", {"baseline": BASE, "final": blend}, range(3))
        seeds = 0 if confirmed else 3
        found = final_test(session, BASE, blend, rows, seeds, average=3, pairs=pairs)
        device = session.problem.device
        assert (found.models, found.averaged) == (3, 3)
        assert [part.recipe for part in found.final.parts] == [OTHER, THIRD] * 3
        assert [part.share for part in found.final.parts] == pytest.approx([0.25, 1 / 12] * 3)
        assert rows.targets is not None
        value = float(
            score(session.problem.objective, found.final.predict(rows, device), rows.targets)
        )
        assert np.isfinite(value)
        if pairs is not None:
            each = [pairs.load(blend, n) for n in range(3)]
            mean = torch.stack([one.predict(rows, device) for one in each]).mean(0)
            assert torch.allclose(found.final.predict(rows, device), mean, atol=1e-4)
            parts = [pairs.load(recipe, 0).predict(rows, device) for recipe in (OTHER, THIRD)]
            one = each[0].predict(rows, device)
            assert torch.allclose(one, 0.75 * parts[0] + 0.25 * parts[1], atol=1e-4)
            graph = found.final.graph(rows.take(torch.arange(4)))
            assert b"prediction" in graph
