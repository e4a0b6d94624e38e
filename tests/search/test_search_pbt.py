"""Population-based training and Hyperband: real generations on a tiny problem."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from problems import member, plain, problem

from pawl.errors import RecipeError
from pawl.execution import Plan, Session, TrainingWay
from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Recipe
from pawl.search import SearchPlan, Strategy, baseline, search
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.pbt import PopulationBased, parents
from pawl.search.protocols import Params
from pawl.search.schedulers import Bracket, hyperband, make_scheduler
from pawl.search.seat import Searched, Seat
from pawl.techniques.changing import SCHEDULE
from pawl.training.changing import recipe_at, steps_of_changes
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

EPOCHS = 32
RATES = (0.05, 0.03, 1e-4, 1e-4)
SEED = 3


def generation(mode: str, recipes: list[Recipe]) -> list[Searched]:
    """Trains members of one seed: so whoever was followed took the very steps of its follower."""
    split = member(recipes[0], SEED, epochs=EPOCHS)

    def make(number: int, _: Params) -> tuple[Member, ...]:
        return (Member(recipes[number], SEED, split.train, split.valid, EPOCHS),)

    scheduler = PopulationBased()
    chosen = Plan(TrainingWay(mode, len(recipes)), "for the test")  # type: ignore[arg-type]
    points = ({"index": i} for i in range(len(recipes)))
    with Board(points, lockstep=True, scheduler=scheduler) as board:
        seat = Seat(lambda r: board.ask(0, r)[0], make, scheduler.shares, scheduler.child)
        return run_or_record(problem("table"), chosen, seat, len(recipes), heartbeat=lambda: None)


@pytest.mark.parametrize("mode", ["fused", "serial"])
def test_who_falls_behind_goes_on_as_a_copy_and_its_recipe_repeats_it(mode: str) -> None:
    """Its recipe, trained alone from the start with the same seed, has the same curve."""
    recipes = [
        plain(momentum={"learning_rate": rate}, dropout={"rate": 0.1}, settings_schedule={})
        for rate in RATES
    ]
    done = sorted(generation(mode, recipes), key=lambda each: each.number)
    assert [each.number for each in done] == [0, 1, 2, 3]
    assert {each.outcome.status for each in done} == {"completed"}
    followers = [each for each in done if each.history]
    assert {2, 3} <= {each.number for each in followers}
    for each in followers:
        recipe = each.outcome.member.recipe
        assert each.params["index"] in (0, 1)  # the point of one that was ahead
        start = plain(momentum={"learning_rate": RATES[each.params["index"]]})
        assert recipe.settings("momentum") == start.settings("momentum")
        changed = {name for _, name, _ in recipe.settings(SCHEDULE).changes}  # type: ignore[attr-defined]
        assert {"momentum.learning_rate", "dropout.rate"} <= changed
        again = Recipe.from_toml(recipe.to_toml())
        alone = Run(Population(problem("table"), [replaced(each, again)], SerialStepper()))
        while not alone.finished():
            alone.segment()
        wanted = [point.valid_score for point in each.outcome.curve]
        assert [p.valid_score for p in alone.curves[0]] == pytest.approx(wanted, abs=2e-3)


def replaced(each: Searched, recipe: Recipe) -> Member:
    old = each.outcome.member
    return Member(recipe, old.seed, old.train, old.valid, old.epochs)


def test_settings_change_when_the_recipe_says_so_layers_included() -> None:
    changes = [[0.25, "momentum.learning_rate", 0.5], [0.5, "dropout.rate", 2.0]]
    changes += [[0.5, "momentum.learning_rate", 100.0], [0.5, "adamw.learning_rate", 3.0]]
    recipe = plain(dropout={"rate": 0.2}, settings_schedule={"changes": changes})
    rates = [recipe_at(recipe, step, 24).to_dict()["momentum"]["learning_rate"] for step in (5, 6)]
    assert rates == [0.02, 0.01]
    late = recipe_at(recipe, 12, 24)
    assert late.to_dict()["dropout"]["rate"] == pytest.approx(0.4)
    assert late.to_dict()["momentum"]["learning_rate"] == 0.5  # as far as it may go
    assert steps_of_changes(recipe, 24) == (6, 12)
    assert recipe_at(plain(), 5, 24) == plain()
    trained = Population(problem("table"), [member(recipe), member(recipe, 1)], FusedStepper())
    name = next(n for n in trained.state.buffers if n.endswith("rate"))
    trained.advance(11)
    assert trained.state.buffers[name].tolist() == pytest.approx([0.2, 0.2])
    trained.keep([1])
    trained.advance(2)
    assert trained.state.buffers[name].tolist() == pytest.approx([0.4])
    assert trained.values["momentum"]["learning_rate"].tolist() == [0.5]
    kept = trained.snapshot()
    trained.admit([member(recipe, 2)])
    assert torch.allclose(trained.state.buffers[name], torch.tensor([0.4, 0.2]))
    assert int(kept[1][0]) == 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([[1.0, "adamw.learning_rate", 2.0]], "a share from 0 to 1 comes first, got 1.0"),
        ([[0.5, "adamw.learning_rate", 0.0]], "a factor is a number above 0, got 0.0"),
        ([[0.5, "adamw.size", 2.0]], "'adamw.size' does not change while training; of adamw"),
        ([[0.5, "cosine.warmup", 2.0]], "of cosine nothing does"),
        ([[0.5, "adamv.learning_rate", 2.0]], "unknown technique 'adamv'"),
    ],
)
def test_a_wrong_schedule_is_one_line(changes: list[list[object]], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        plain(settings_schedule={"changes": changes})
    assert "\n" not in str(caught.value)


def test_children_keep_within_bounds_and_parents_are_the_best_quarter() -> None:
    recipe = plain(momentum={"learning_rate": 0.45}).with_(SCHEDULE)
    for seed in range(20):
        once = PopulationBased().child(recipe, 0.5, seed)
        twice = PopulationBased().child(once, 0.75, seed + 1)
        assert 0.3 <= recipe_at(once, 5, 10).to_dict()["momentum"]["learning_rate"] <= 0.5
        assert len(twice.settings(SCHEDULE).changes) == 2 * len(once.settings(SCHEDULE).changes)  # type: ignore[attr-defined]
        assert twice.structure == recipe.structure
    assert PopulationBased().child(recipe, 0.5, 3) == PopulationBased().child(recipe, 0.5, 3)
    scores = {i: float(i) for i in range(8)}
    assert parents(scores, losers=[0, 1]) == [7, 6]
    goes = [PopulationBased().goes_on(0, s, tuple(scores.values())) for s in scores.values()]
    assert goes == [False, False] + [True] * 6


def test_brackets_have_the_numbers_of_the_paper() -> None:
    """Of JMLR 2018, table 1: R = 81 and eta = 3."""
    paper = [Bracket(s, most=4) for s in (4, 3, 2, 1, 0)]
    assert [bracket.size for bracket in paper] == [81, 34, 15, 8, 5]
    firsts = [round(81 * min(bracket.shares, default=1.0)) for bracket in paper]
    assert firsts == [1, 3, 9, 27, 81]
    assert [len(bracket.shares) for bracket in paper] == [4, 3, 2, 1, 0]
    survivors = [sum(paper[0].goes_on(0, float(i), range(81)) for i in range(81))]
    assert survivors == [27]
    assert [hyperband(i).number for i in range(6)] == [3, 2, 1, 0, 3, 2]
    quotas = [hyperband(i).configurations(27, 14) for i in range(4)]
    assert quotas == [27, 12, 6, 4]
    assert hyperband(3).configurations(4, 2) == 2  # never one that has nobody beside it


def searched(
    folder: Path, name: str, folds: int, *, stop: int | None = None
) -> tuple[list[TrialRecord], str]:
    """Trials of a few generations, and the ledger's digest; killed in one, if `stop` says which."""
    plan = SearchPlan(width=4, quota=6, trials=12, deadline=None)
    strategy = Strategy.of(name)._replace(folds=folds)

    class Killed(BaseException):
        pass

    with Ledger.create(folder, {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=8)
        if stop is not None:
            compute, left = ledger.compute, iter(range(stop))

            def dies(key, phase, work):  # type: ignore[no-untyped-def]
                if next(left, None) is None:
                    work()  # all of it is lost
                    raise Killed
                return compute(key, phase, work)

            ledger.compute = dies  # type: ignore[method-assign]
            with pytest.raises(Killed):
                search(session, baseline(session.facts), plan, strategy)
        else:
            return search(session, baseline(session.facts), plan, strategy), ledger.digest()
    with Ledger.open(folder) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=8)
        return search(session, baseline(session.facts), plan, strategy), ledger.digest()


@pytest.mark.parametrize(
    ("name", "folds"),
    [("genetic,pbt", 1), ("cma-es,hyperband", 1), ("genetic,halving", 1), ("genetic,hyperband", 2)],
)
def test_killed_and_gone_on_with_it_is_the_same_search(
    tmp_path: Path, name: str, folds: int
) -> None:
    whole, digest = searched(tmp_path / "whole", name, folds)
    assert searched(tmp_path / "again", name, folds, stop=1)[1] == digest
    assert len(whole) >= 10
    if "pbt" in name:
        assert {t.status for t in whole} <= {"completed", "stopped", "diverged"}
        followed = [t for t in whole if "followed" in t.extra]
        assert followed
        assert all(SCHEDULE in t.recipe for t in followed)
        assert all(SCHEDULE not in t.recipe for t in whole if "followed" not in t.extra)
    elif "hyperband" in name:
        rungs = [len(make_scheduler("hyperband", i).shares) for i in range(3)]
        by_generation = {t.extra["generation"] for t in whole}
        assert by_generation == set(range(len(by_generation)))
        reached = [
            max(len(t.extra["rungs"]) for t in whole if t.extra["generation"] == i)
            for i in sorted(by_generation)
        ]
        assert all(0 < got <= most for got, most in zip(reached, rungs, strict=False))
