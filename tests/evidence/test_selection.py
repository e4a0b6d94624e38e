"""Race, screen, re-tuning and looks, in made-up sessions of known answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import BASE, CONSTANT, by_recipe, made_up

from pawl.ensembling import candidates
from pawl.evidence import ALPHA, Pairs, Single, behind, lead, look_by_look, race
from pawl.evidence.retuning import num_trainings, retuned
from pawl.evidence.selection import screen
from pawl.execution.clock import OutOfTime
from pawl.recipe import Recipe
from pawl.training.population import Member

DEEP = BASE.with_("depth", layers=3)
WIDE = BASE.with_("width", factor=2.0)
BOTH = DEEP.with_("width", factor=2.0)


def won(recipes: list[Recipe], racing: Pairs | None) -> Recipe:
    """The recipe that is confirmed where none are blended."""
    return lead(candidates(racing, recipes, "none")[0])


def rate(recipe: Recipe) -> float:
    return float(recipe.settings("adamw").model_dump()["learning_rate"])


def test_the_race_goes_to_the_recipe_with_the_best_mean(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 2.0, DEEP.id: 1.0, WIDE.id: 0.5, BOTH.id: 1.5})
    with made_up(tmp_path, world) as session:
        assert won([DEEP, WIDE, BOTH], race(session, [DEEP, WIDE, BOTH], 3)) == WIDE
        assert len(session.asked) == 3 * 3
        # On rows that choose, and on nothing that proves.
        chosen = set(session.rows.parts[0].tolist())
        held = [
            set(range(len(session.problem.targets))) - set(m.train.tolist()) for m in session.asked
        ]
        assert all(each & chosen for each in held)


def test_recipes_that_are_clearly_worse_are_behind(tmp_path: Path) -> None:
    world = by_recipe({DEEP.id: 1.0, WIDE.id: 0.5, BOTH.id: 0.5})  # alike
    with made_up(tmp_path, world) as session:
        racing = race(session, [DEEP, WIDE, BOTH], 5)
        assert racing is not None
        assert behind(racing, [DEEP, WIDE, BOTH]) == {Single(DEEP).id}
        assert behind(racing, [DEEP]) == set()


def test_one_recipe_needs_no_race(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({})) as session:
        assert race(session, [DEEP], 3) is None
        assert race(session, [DEEP, WIDE], 0) is None  # as where there is no time for any pair
        assert won([DEEP], None) == DEEP
        assert session.asked == []


def test_a_recipe_that_fails_now_and_then_does_not_win_by_it(tmp_path: Path) -> None:
    """Off by 0.1 or failed: a failure is worth a constant prediction, off by about 4."""
    with made_up(tmp_path, lambda recipe, member: (
        1.0 if recipe != WIDE else None if member.seed % 2 else 0.1
    )) as session:  # fmt: skip
        best = won([DEEP, WIDE], race(session, [DEEP, WIDE], 4))
        failures = [m for m in session.asked if m.recipe == WIDE and m.seed % 2]
    assert failures
    assert best == DEEP


def test_screening_drops_what_does_nothing_and_keeps_what_helps(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 2.0, DEEP.id: 1.0, WIDE.id: 2.0, BOTH.id: 1.0})
    with made_up(tmp_path, world) as session:
        smaller, verdicts = screen(session, BASE, BOTH)
    assert smaller == DEEP
    assert [(v.change.name, v.verdict, v.in_final) for v in verdicts] == [
        ("width", "rejected", False)
    ]
    assert verdicts[0].comparison is not None
    assert verdicts[0].comparison.effect == 0


def test_screening_keeps_what_is_needed(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 2.0, DEEP.id: 1.5, WIDE.id: 1.5, BOTH.id: 1.0})
    with made_up(tmp_path, world) as session:
        assert screen(session, BASE, BOTH) == (BOTH, ())
        assert screen(session, BASE, WIDE) == (WIDE, ())


@pytest.mark.parametrize("best", [1 / 3, 1.0, 3.0])
def test_an_arm_is_tuned_to_its_best_rate(tmp_path: Path, best: float) -> None:
    def world(recipe: Recipe, _: object) -> float:
        return 0.5 if rate(recipe) == pytest.approx(0.001 * best) else 1.0

    with made_up(tmp_path, world) as session:
        found = retuned(session, {"plain": BASE, "deep": DEEP})
        assert len(session.asked) == num_trainings(2)
    assert {name: rate(r) for name, r in found.items()} == {
        "plain": pytest.approx(0.001 * best), "deep": pytest.approx(0.001 * best)
    }  # fmt: skip
    assert found["deep"].changes(found["plain"]) == DEEP.changes(BASE)


def test_a_rate_that_fails_is_not_chosen_and_of_equals_the_own_stays(tmp_path: Path) -> None:
    def world(recipe: Recipe, _: object) -> float | None:
        return None if rate(recipe) > 0.002 else 1.0

    with made_up(tmp_path, world) as session:
        assert retuned(session, {"plain": BASE}) == {"plain": BASE}


def test_looks_stop_as_soon_as_all_is_decided(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 2.0, DEEP.id: 1.0, WIDE.id: 1.0})
    with made_up(tmp_path, world) as session:
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        others = {"baseline": BASE, "same": WIDE}
        found = look_by_look(session, pairs, DEEP, others, (5, 10, 20), "made-up", what="made up")
        # What is decided is not trained further; what is equal takes every look.
        assert (len(pairs.of(BASE)), len(pairs.of(WIDE)), len(pairs.of(DEEP))) == (5, 20, 20)
        effect = pairs.compare(DEEP, BASE).effect
    assert found["baseline"] <= ALPHA
    assert found["same"] == 1.0
    assert effect == pytest.approx(0.8, rel=0.1)  # a normal error's mean size is 0.8 deviations


@pytest.mark.parametrize(
    ("per_pair", "lasts", "there"),
    [
        (0.5, 20, 20),  # time for all: a look's pairs train at once
        (1e4, 20, 20),  # it did not look so, and then there was
        (1e4, 8, 4),  # trained two by two: those of the pair in which the time ran out are lost
        (1e4, 1, 0),
        (0.5, 8, 0),  # all at once: all are lost
    ],
)
def test_a_look_that_time_runs_out_on_is_taken_with_what_there_is(
    tmp_path: Path, per_pair: float, lasts: int, there: int
) -> None:
    def world(recipe: Recipe, _: Member) -> float:
        if len(session.asked) > lasts:
            raise OutOfTime
        return 1.0 if recipe == DEEP else 2.0

    with made_up(tmp_path, world) as session:
        session.clock.budget = 1000.0
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        found = look_by_look(
            session,
            pairs,
            DEEP,
            {"baseline": BASE},
            (5, 10),
            "made-up",
            what="made up",
            per_pair=per_pair,
        )
        assert len(pairs.of(DEEP)) == len(pairs.of(BASE)) == min(5, there)
        if there == 0:
            assert found == {"baseline": 1.0}
        elif there < 5:  # the last look: all of alpha is its
            assert found["baseline"] == pytest.approx(pairs.compare(DEEP, BASE).p_value)
        else:
            assert found["baseline"] <= ALPHA


def test_where_time_runs_out_behind_a_look_it_was_the_last(tmp_path: Path) -> None:
    def world(recipe: Recipe, member: Member) -> float:
        if len(session.asked) > 2 * 5:
            raise OutOfTime
        return 1.0 if recipe == DEEP else 0.2 + 1.8 * (member.seed % 2)

    with made_up(tmp_path, world) as session:
        session.clock.budget = 1000.0
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        found = look_by_look(
            session, pairs, DEEP, {"baseline": BASE}, (5, 10), "made-up", what="made up"
        )
        p_value = pairs.compare(DEEP, BASE).p_value
        assert len(pairs.of(DEEP)) == 5
        assert ALPHA < p_value < 1.0
        assert found["baseline"] == pytest.approx(p_value)


def test_a_failed_training_is_worth_a_constant_prediction(tmp_path: Path) -> None:
    """By hand: the mean absolute difference from the mean of the pair's training rows."""
    with made_up(tmp_path, lambda recipe, _: None if recipe == DEEP else 0.1) as session:
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        pairs.run("each", {"baseline": BASE, "candidate": DEEP}, range(5))
        targets = session.problem.targets
        for pair, found in pairs.of(DEEP).items():
            split = session.rows.resplit("confirm", pair, session.rows.parts[1], 5)
            constant = targets[split.train].double().mean()
            expected = (targets[split.holdout].double() - constant).abs()
            assert found.value == pytest.approx(float(expected.mean()), rel=1e-5)
            influence = (expected - expected.mean()) / len(expected)
            assert float(found.influence @ influence.double()) > 0.99 * float(influence @ influence)
        assert pairs.compare(DEEP, BASE).p_value < ALPHA
        assert pairs.compare(DEEP, BASE).effect < 0
        assert all(r.holdout is None for r in pairs.records if r.recipe_id == DEEP.id)


def test_both_arms_failing_is_no_difference(tmp_path: Path) -> None:
    with made_up(tmp_path, lambda *_: None) as session:
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        pairs.run("each", {"baseline": BASE, "candidate": DEEP}, range(5))
        found = pairs.compare(DEEP, BASE)
    assert (found.effect, found.p_value, found.n) == (0.0, 1.0, 5)


def test_nothing_learned_is_found(tmp_path: Path) -> None:
    world = by_recipe({BASE.id: 1.0, DEEP.id: CONSTANT, WIDE.id: 40.0})
    with made_up(tmp_path, world) as session:
        pairs = Pairs(session, "compare", session.rows.parts[1])
        pairs.run("each", {"plain": BASE, "same": DEEP, "bad": WIDE}, range(5))
        assert pairs.nothing_learned(BASE) is None
        assert pairs.nothing_learned(DEEP) == "5 of 5 models predict the same for every row"
        assert "no better than the" in (pairs.nothing_learned(WIDE) or "")
