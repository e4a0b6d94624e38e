"""What is delivered, what would settle what is not proven, and what joins the correction."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from made_up import BASE, by_recipe, made_up
from scipy import stats

from pawl.evidence import (
    ALPHA,
    Comparison,
    ConfirmationEffort,
    Single,
    confirm,
    delivers,
    likelihood,
    pairs_to_settle,
)
from pawl.evidence.dropping import without_harm
from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import Parts, comparison, holm
from pawl.evidence.verdicts import Verdict, judged_by, name_without
from pawl.options import Deliver
from pawl.recipe import Recipe
from pawl.training.population import Member

BETTER = BASE.with_("depth", layers=3)


@pytest.mark.parametrize("effect", [-0.3, -0.01, 0.0, 0.01, 0.3])
@pytest.mark.parametrize("degrees", [1.0, 4.0, 60.0])
def test_the_likelihood_is_t_s(effect: float, degrees: float) -> None:
    got = likelihood(comparison(effect, 0.1, 10, degrees))
    assert got == pytest.approx(float(stats.t.cdf(effect / 0.1, degrees)))


def test_equal_arms_and_single_pairs_are_even_and_certainty_is_certain() -> None:
    assert likelihood(comparison(0.0, 0.0, 5, 4.0)) == 0.5
    assert likelihood(comparison(0.2, math.inf, 1, 1.0)) == 0.5
    assert likelihood(comparison(0.2, 0.0, 5, 4.0)) == 1.0


@pytest.mark.parametrize(
    ("effect", "proven", "deliver", "delivered"),
    [
        (0.3, True, "likely", True),
        (0.3, True, "proven", True),
        (0.01, False, "likely", True),
        (0.01, False, "proven", False),
        (0.0, False, "likely", False),
        (-0.01, False, "likely", False),
        (None, False, "likely", False),
        (None, False, "proven", False),
    ],
)
def test_what_is_delivered(
    effect: float | None, proven: bool, deliver: Deliver, delivered: bool
) -> None:
    headline = None if effect is None else comparison(effect, 0.1, 10, 9.0)
    assert delivers(headline, proven=proven, deliver=deliver) == delivered


def of_parts(effect: float, by_rows: float, by_models: float, n: int) -> Comparison:
    parts = Parts(effect, by_rows, by_models, by_models, 10_000)
    error, degrees = parts.error(n)
    found = comparison(effect, error, n, degrees)
    return Comparison(**(vars(found) | {"parts": parts}))


def test_pairs_to_settle_by_hand() -> None:
    # Models alone: 0.01 of 0.02 a pair. held against a little less than alpha.
    for pairs in range(6, 200):
        t = 0.01 / (0.02 / math.sqrt(pairs))
        if 2 * stats.t.sf(t, pairs - 1) <= 0.9 * ALPHA:
            break
    assert 15 < pairs < 25
    assert pairs_to_settle(of_parts(0.01, 0.0, 0.02**2, 5), 5) == pairs
    # A part of rows that would be shown alone only asks for more pairs.
    more = pairs_to_settle(of_parts(0.01, 0.003**2, 0.02**2, 5), 5)
    assert more is not None
    assert pairs < more < math.inf
    # Rows alone are too uncertain: 0.01 of 0.006 is 1.7 standard errors.
    assert pairs_to_settle(of_parts(0.01, 0.006**2, 0.02**2, 5), 5) == math.inf
    # After three of five folds, rows were held out in three fifths: all of them say more.
    assert pairs_to_settle(of_parts(0.01, 0.005**2, 0.0, 3), 5) == 4


def test_no_pairs_settle_what_is_no_gain_or_not_known() -> None:
    assert pairs_to_settle(of_parts(-0.01, 0.0, 0.02**2, 5), 5) is None
    assert pairs_to_settle(comparison(0.01, math.inf, 1, 1.0), 5) is None


def noisy(member: Member, size: float) -> float:
    return size * float(
        torch.randn(1, generator=torch.Generator().manual_seed(member.seed % 2**31))
    )


def uncertain(recipe: Recipe, member: Member) -> float:
    """A candidate that is better in the mean, and varies more than that."""
    return 1.0 if recipe == BASE else max(0.05, 0.93 + noisy(member, 0.3))


def test_a_likely_recipe_is_delivered_and_not_called_proven(tmp_path: Path) -> None:
    with made_up(tmp_path, uncertain) as session:
        effort = ConfirmationEffort(screen=False, looks=(5,))
        found = confirm(session, BASE, BETTER, effort)
    assert found.headline is not None
    assert found.likelihood == likelihood(found.headline)
    assert 0.5 < found.likelihood < 0.975
    assert not found.proven
    assert found.delivered == Single(BETTER)
    assert [(v.verdict, v.in_final, v.comparison) for v in found.verdicts] == [
        ("unproven", True, None)
    ]
    assert "not shown to beat the baseline" in found.verdicts[0].reason
    assert found.to_settle is not None
    assert found.to_settle > 5


def test_only_what_is_proven_if_so_asked(tmp_path: Path) -> None:
    with made_up(tmp_path, uncertain) as session:
        found = confirm(
            session, BASE, BETTER, ConfirmationEffort(screen=False, looks=(5,)), "proven"
        )
    assert (found.proven, found.delivered) == (False, Single(BASE))
    assert not any(v.in_final for v in found.verdicts)


def test_equal_and_worse_recipes_and_those_not_compared_leave_the_baseline(tmp_path: Path) -> None:
    for index, (worth, looks) in enumerate([(1.0, (5,)), (1.5, (5,)), (0.5, ())]):
        world = by_recipe({BASE.id: 1.0, BETTER.id: worth})
        (tmp_path / str(index)).mkdir()
        with made_up(tmp_path / str(index), world) as session:
            found = confirm(session, BASE, BETTER, ConfirmationEffort(screen=False, looks=looks))
        assert (found.proven, found.delivered) == (False, Single(BASE))
        assert (found.likelihood is None) == (not looks)


def test_a_recipe_that_always_fails_is_not_delivered(tmp_path: Path) -> None:
    with made_up(tmp_path, lambda *_: None) as session:
        found = confirm(session, BASE, BETTER, ConfirmationEffort(screen=False, looks=(5,)))
    assert (found.proven, found.delivered, found.likelihood) == (False, Single(BASE), 0.5)


HARMED = BETTER.with_("dropout", rate=0.5).with_("noise", deviation=1.0)


def harms(recipe: Recipe, _: Member) -> float:
    """Depth helps; dropout and noise harm, each alone and more so together."""
    names = {technique.name for technique, _ in recipe}
    better = 1.0 if "depth" in names else 3.0
    return better + 0.4 * len({"dropout", "noise"} & names)


def test_dropping_all_joins_the_correction(tmp_path: Path) -> None:
    with made_up(tmp_path, harms) as session:
        found = confirm(session, BASE, HARMED, ConfirmationEffort(screen=False, looks=(5,)))
        named = "confirm/without dropout, noise"
        assert session.ledger.unit(named) is not None
    assert found.proven
    assert found.delivered == Single(BETTER)
    # The recipe, three changes, and the recipe without both that harm.
    assert found.comparisons == 5
    assert {v.change.name: v.verdict for v in found.verdicts} == {
        "depth": "kept", "dropout": "rejected", "noise": "rejected"
    }  # fmt: skip
    # Holm's largest factor is for as many comparisons as there were.
    smallest = min(v.comparison.p_value for v in found.verdicts if v.comparison)
    assert min(v.p_value or 1.0 for v in found.verdicts) >= 3 * smallest
    assert found.p_value is not None
    assert all(
        (v.p_value or 0.0) <= found.p_value <= ALPHA
        for v in found.verdicts
        if v.verdict == "rejected"
    )


def at_odds(recipe: Recipe, _: Member) -> float:
    """Each of dropout and noise harms beside the other; without either it is as bad."""
    names = {technique.name for technique, _ in recipe}
    return 1.4 if len({"dropout", "noise"} & names) == 1 else 1.8


@pytest.mark.parametrize(("p_values", "stay"), [((0.02, 0.024), True), ((0.001, 0.024), False)])
def test_a_further_comparison_can_cost_a_verdict(
    tmp_path: Path, p_values: tuple[float, float], stay: bool
) -> None:
    """Dropping both is compared as well, and not better: what two comparisons showed, three may not."""
    with made_up(tmp_path, at_odds) as session:
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        changes = [c for c in HARMED.changes(BASE) if c.name != "depth"]
        arms = {name_without(c): HARMED.revert(c, BASE) for c in changes}
        pairs.run("all", {"baseline": BASE, "candidate": HARMED, **arms}, range(5))
        found = dict(zip(arms, p_values, strict=True))
        verdicts = [
            judged_by(Verdict(c, HARMED, "unproven", True, pairs.compare(HARMED, arm), None, ""), p)
            for (c, arm), p in zip(
                zip(changes, arms.values(), strict=True), holm(list(p_values)), strict=True
            )
        ]
        assert [v.verdict for v in verdicts] == ["rejected", "rejected"]
        dropped = without_harm(session, pairs, BASE, HARMED, arms, verdicts, found, 0.0)
    assert dropped.comparisons == 3
    assert [v.p_value for v in dropped.verdicts][:2] == pytest.approx(holm([*p_values, 1.0])[:2])
    if stay:
        assert (dropped.final, dropped.p_value) == (HARMED, 0.0)
        assert {v.verdict for v in dropped.verdicts} == {"unproven"}
    else:
        assert dropped.final in arms.values()
        assert dropped.p_value <= ALPHA
