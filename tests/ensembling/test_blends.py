"""From a race to candidates, in made-up sessions of known answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_up import BASE, by_recipe, made_up
from problems import plain, problem

from pawl.ensembling import OutOfFold, candidates
from pawl.ensembling.blends import _entrants
from pawl.evidence import ALPHA, Blend, ConfirmationEffort, Single, best_alone, confirm, race
from pawl.evidence.arms import from_dict, lead, to_dict, to_toml
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import blended, untrained

DEEP = BASE.with_("depth", layers=3)
WIDE = BASE.with_("width", factor=2.0)
BOTH = DEEP.with_("width", factor=2.0)
TREES = Recipe.of(extra_trees={})


def opposed(recipe: Recipe, member: Member) -> float:
    """Errors of two recipes cancel; the third is between."""
    return {DEEP.id: 1.0, WIDE.id: -1.5, BOTH.id: 0.9, BASE.id: 3.0, TREES.id: 1.2}[recipe.id]


def test_what_cancels_is_blended_and_singles_come_behind(tmp_path: Path) -> None:
    with made_up(tmp_path, opposed) as session:
        recipes = [DEEP, WIDE, BOTH]
        racing = race(session, recipes, 5)
        arms = candidates(racing, recipes, "greedy")
        # Networks alone are blended behind the best one, whose copies a bundle averages too.
        assert candidates(racing, recipes)[0] == Single(BOTH)
        assert arms[0] in candidates(racing, recipes)
    first = arms[0]
    assert isinstance(first, Blend)
    assert WIDE in first.recipes
    offs = {DEEP: 1.0, WIDE: -1.5, BOTH: 0.9}
    left = sum(offs[r] * w for r, w in zip(first.recipes, first.shares, strict=True))
    assert abs(left) < 0.1
    assert arms[-3:] == [Single(BOTH), Single(DEEP), Single(WIDE)]
    sizes = [len(arm.trainings) for arm in arms]
    assert sizes == sorted(sizes, reverse=True)


def test_out_of_fold_predictions_are_of_every_row_once_and_of_no_training_row(
    tmp_path: Path,
) -> None:
    with made_up(tmp_path, opposed) as session:
        racing = race(session, [DEEP, WIDE], 11)
        assert racing is not None
        found = OutOfFold.of(racing, [DEEP, WIDE])
        assert found is not None
        chosen = set(session.problem.targets[session.rows.parts[0]].tolist())
        # Two passes over five equal folds; the eleventh pair is left out.
        assert found.predictions.shape == (2, 2, len(chosen) // 5 * 5)
        for one in found.targets:
            assert len(set(one.tolist())) == len(one)
            assert set(one.tolist()) <= chosen
        assert found.recipes == (DEEP, WIDE)
        both = found.score(found.predictions)
        assert both.shape == (2,)
        assert float(both[0]) > float(both[1])


def test_a_recipe_with_a_failed_training_is_not_blended(tmp_path: Path) -> None:
    def fails(recipe: Recipe, member: Member) -> float | None:
        return None if recipe == WIDE and member.seed % 2 else opposed(recipe, member)

    with made_up(tmp_path, fails) as session:
        recipes = [DEEP, WIDE, BOTH]
        arms = candidates(race(session, recipes, 5), recipes)
        assert any(m.recipe == WIDE and m.seed % 2 for m in session.asked)
    assert not any(isinstance(arm, Blend) and WIDE in arm.recipes for arm in arms)


@pytest.mark.parametrize("ensemble", ["none", "mean", "greedy"])
def test_each_way_to_blend(tmp_path: Path, ensemble: str) -> None:
    with made_up(tmp_path, opposed) as session:
        recipes = [DEEP, WIDE, BOTH]
        first = candidates(race(session, recipes, 5), recipes, ensemble)[0]  # type: ignore[arg-type]
    assert isinstance(first, Blend) == (ensemble != "none")
    if ensemble == "mean":
        assert isinstance(first, Blend)
        assert len(set(first.shares)) == 1


def test_without_a_race_there_is_one_candidate() -> None:
    assert candidates(None, [WIDE]) == [Single(WIDE)]


def test_few_rows_let_few_models_in() -> None:
    counts = [_entrants(rows) for rows in (10, 100, 300, 1000, 10_000, 10**6)]
    assert counts == sorted(counts)
    assert counts[0] == 4
    assert counts[-2:] == [40, 100]


def test_a_blend_is_confirmed_with_the_changes_of_its_leading_network(tmp_path: Path) -> None:
    blend = Blend((WIDE, TREES, DEEP), (0.4, 0.2, 0.4))

    def world(recipe: Recipe, _: Member) -> float:
        if recipe == TREES:
            return 0.5
        return -1.5 if "width" in recipe else 1.0 if "depth" in recipe else 3.0

    with made_up(tmp_path, world) as session:
        effort = ConfirmationEffort(screen=True, looks=(5, 10))
        found = confirm(session, BASE, blend, effort, keep=2)
        assert found.proven
        assert found.p_value is not None
        assert found.p_value <= ALPHA
        assert found.delivered == blend
        # The first of the largest networks: its change is judged, the trees' and the others' are not.
        assert lead(blend) == WIDE
        assert [v.change.name for v in found.verdicts] == ["width"]
        assert found.verdicts[0].in_final
        trained = len(session.asked)
        assert [part.recipe for part in found.members] == [WIDE, TREES, DEEP]
        adds = {part.recipe: part.adds for part in found.members}
        # Without the one that cancels, errors grow.
        assert adds[WIDE].effect > 0
        # By itself each of them is worse than the blend, by what its own errors are more.
        over = {part.recipe: part.over for part in found.members}
        assert over[WIDE].effect > over[DEEP].effect > over[TREES].effect > 0
        assert {each.n for each in (*adds.values(), *over.values())} == {found.headline.n}  # type: ignore[union-attr]
        assert all(part.raced is None for part in found.members)
        assert best_alone(session, blend) == WIDE, "none raced: the one that leads"
        assert trained == len(session.asked)


def test_the_best_by_itself_is_that_of_the_race(tmp_path: Path) -> None:
    def world(recipe: Recipe, member: Member) -> float | None:
        return None if recipe == WIDE and member.seed % 2 else opposed(recipe, member)

    blend = Blend((WIDE, TREES, DEEP, BOTH), (0.4, 0.2, 0.2, 0.2))
    with made_up(tmp_path, world) as session:
        racing = race(session, [BOTH, DEEP, TREES, WIDE], 5)
        assert racing is not None
        asked = len(session.asked)
        assert best_alone(session, blend) == BOTH
        assert best_alone(session, Blend((TREES, DEEP))) == DEEP
        assert best_alone(session, Single(BASE)) == BASE
        assert len(session.asked) == asked
        found = confirm(session, BASE, blend, ConfirmationEffort(False, (5,)))
        raced = {part.recipe: part.raced for part in found.members}
        assert raced[WIDE] is None, "one of its trainings failed"
        assert raced[BOTH] == pytest.approx(-racing.mean(BOTH))


def test_one_of_the_models_that_are_averaged() -> None:
    one, rows, cpu = problem("table"), torch.arange(96), torch.device("cpu")
    recipes = [plain(), plain(depth={"layers": 3})]
    models = [untrained(one, recipe, seed, rows) for seed in (1, 2) for recipe in recipes]
    arm = Blend(tuple(recipes), (0.7, 0.3), temperature=2.0)
    whole = blended([arm.predictor(models[:2]), arm.predictor(models[2:])])
    for recipe, first in zip(recipes, models, strict=False):
        alone = whole.alone(recipe)
        assert [(part.recipe, part.seed, part.share) for part in alone.parts] == [(recipe, 1, 1.0)]
        got = alone.predict(one.examples, cpu)
        torch.testing.assert_close(got, first.predict(one.examples, cpu))
    assert models[0].alone(recipes[0]) is models[0]


def test_learners_alone_have_no_changes_to_judge(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 3.0, TREES.id: 0.5})
    with made_up(tmp_path, world) as session:
        found = confirm(session, BASE, Single(TREES), ConfirmationEffort(True, (5,)))
        assert found.proven
        assert found.verdicts == ()
        assert found.delivered == Single(TREES)
        assert {m.recipe for m in session.asked} == {BASE, TREES}


def test_arms_as_tables() -> None:
    blend = Blend((WIDE, TREES), (3.0, 1.0))
    for arm in (Single(WIDE), Single(TREES), blend):
        again = from_dict(to_dict(arm))
        assert again.id == arm.id
    assert to_toml(Single(WIDE)) == WIDE.to_toml()
    assert to_toml(blend).count("[[member]]") == 2
