"""Several objectives, limits on size, and warm starts: from the ledger and through the public face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import frame, plain, problem

import pawl
from pawl.errors import LedgerError, PawlError, TaskError
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Recipe
from pawl.search import SearchPlan, Space, Strategy, baseline, search
from pawl.search.costs import Cost, cost_of, too_large
from pawl.search.objectives import front, scalarized
from pawl.search.protocols import TrialResult
from pawl.search.warm import task_record, warm_recipes

ROWS = torch.arange(96)
POINTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=12)


def test_what_a_network_costs_is_counted() -> None:
    """A perceptron of four layers: weights and biases; two operations for each weight of a row."""
    one = problem("own_model")  # 5 columns, of which two are of categories, to 16 to 1
    cost = cost_of(one, plain(), ROWS)
    _, body, _ = one.build(plain(), 0, ROWS)
    matrices = [p for p in body.parameters() if p.dim() == 2]
    assert cost.parameters == sum(p.numel() for p in body.parameters())
    assert cost.operations == 2 * sum(p.numel() for p in matrices)
    table = problem("table")
    wide, narrow = (cost_of(table, plain(width={"factor": factor}), ROWS) for factor in (2.0, 0.5))
    assert wide.parameters > 2 * narrow.parameters
    assert wide.operations > 2 * narrow.operations
    assert cost_of(table, plain(width={"factor": 2.0}, dropout={"rate": 0.5}), ROWS) == wide
    assert too_large(narrow, None) is too_large(narrow, narrow.parameters) is None
    assert str(too_large(Cost(1200, 1), 1000)).startswith("infeasible: 1,200 parameters are more")


@given(points=POINTS)
def test_the_front_is_what_nothing_is_better_than(points: list[tuple[int, ...]]) -> None:
    found = front(points)
    assert found
    for i, mine in enumerate(points):
        better = any(
            all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in points
        )
        first = points.index(mine) == i
        assert (i in found) == (not better and first)


def test_every_trade_off_has_its_turn() -> None:
    """Over many generations, small and large networks of a front are each worth the most at times."""
    history = [TrialResult({"i": i}, 0.5 + 0.1 * i, None) for i in range(4)]
    history += [TrialResult({"i": 4}, 0.5, None), TrialResult({"i": 5}, None, None)]
    costs = [*(Cost(10 * 4**i, 1) for i in range(4)), Cost(5000, 1), None]
    best = set()
    for seed in range(60):
        told = scalarized(("score", "size"), history, costs, seed)
        assert told[5] == history[5]
        assert told[4].score == min(t.score for t in told[:5] if t.score is not None)
        best.add(int(np.argmax([t.score for t in told[:5]])))
    assert best == {1, 2, 3}  # the score never counts for less than a third
    assert scalarized(("score",), history, costs, 0) == history


def searched(folder: Path, strategy: Strategy, trials: int = 14) -> list[TrialRecord]:
    with Ledger.create(folder, {"task": task_record(problem("table"))}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        plan = SearchPlan(width=1, quota=1, trials=trials, deadline=None)
        return search(session, baseline(session.facts), plan, strategy)


def test_what_is_over_the_limit_is_not_trained(tmp_path: Path) -> None:
    one = problem("table")
    most = cost_of(one, baseline(one.facts()), ROWS).parameters
    trials = searched(tmp_path / "out", Strategy(most=most, objectives=("score", "size")))
    assert len(trials) == 14
    over = [t for t in trials if t.status == "infeasible"]
    assert 0 < len(over) < 14
    for trial in trials:
        cost = cost_of(one, Recipe.from_dict(trial.recipe), ROWS)
        assert (cost.parameters > most) == (trial.status == "infeasible")
        if trial in over:
            assert (trial.score, trial.steps, trial.curve) == (None, 0, [])
            assert trial.reason.startswith(f"infeasible: {cost.parameters:,} parameters")
        else:
            assert Cost(**trial.extra["cost"]) == cost


def test_a_search_starts_from_another_ones_best(tmp_path: Path) -> None:
    facts = problem("table").facts()
    here = task_record(problem("table"))
    theirs = searched(tmp_path / "first", Strategy(), trials=8)
    recipes = warm_recipes(tmp_path / "first", facts, here)
    ended = [t for t in theirs if t.status in ("completed", "stopped") and t.score is not None]
    best = max(ended, key=lambda t: t.score or 0.0)
    assert recipes[0].id == best.recipe_id
    assert 1 < len(recipes) <= 3
    assert len({recipe.structure for recipe in recipes}) == len(recipes)
    start = baseline(facts)
    within = warm_recipes(tmp_path / "first", facts, here, only=("dropout",))
    assert all({c.name for c in r.changes(start)} <= {"dropout"} for r in within)
    with Ledger.create(tmp_path / "second", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        plan = SearchPlan(width=1, quota=1, trials=3, deadline=None)
        trials = search(session, start, plan, warm=recipes)
    space = Space(start, facts)
    tried = [space.effective(t.extra["params"]) for t in trials]
    assert tried[: len(recipes)] == [space.effective(space.params(r)) for r in recipes]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "regression"}, r"on another sort of task \(binary, and here regression\)"),
        ({"modality": "images"}, r"on another sort of task \(table, and here images\)"),
    ],
)
def test_another_sort_of_task_is_no_start(
    tmp_path: Path, wrong: dict[str, str], message: str
) -> None:
    searched(tmp_path / "out", Strategy(), trials=1)
    facts = problem("table").facts()
    here = task_record(problem("table")) | wrong
    with pytest.raises(TaskError, match=message):
        warm_recipes(tmp_path / "out", facts, here)
    with Ledger.create(tmp_path / "empty", {"task": here}):
        pass
    with pytest.raises(TaskError, match="has no trial that ended"):
        warm_recipes(tmp_path / "empty", facts, here)
    with Ledger.create(tmp_path / "other", {}):
        pass
    with pytest.raises(LedgerError, match="holds no campaign of pawl optimize"):
        warm_recipes(tmp_path / "other", facts, here)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_start": "nowhere"}, "'nowhere' holds no campaign"),
        ({"max_parameters": 10}, r"has [\d,]+ parameters, more than max_parameters=10 allows"),
        ({"max_parameters": 0}, "max_parameters=0; give a whole number"),
        ({"objectives": "size"}, "got the objectives size; score must be one of them"),
        ({"objectives": "score,sise"}, r"got the objective 'sise' \(did you mean 'size'\?\)"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PawlError, match=message) as caught:
        pawl.optimize(frame(), target="target", trials=4, out=tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_campaign_keeps_its_front_and_another_starts_from_it(tmp_path: Path) -> None:
    """Through the public face: the front is in summary and page, resumed or not."""
    one = pawl.optimize(
        frame(300), target="target", trials=15, epochs=1, families=("nets",), ensemble="none",
        objectives="score,size", search="genetic,none", out=tmp_path / "one", executor="inline",
    )  # fmt: skip
    kept = json.loads((tmp_path / "one" / "summary.json").read_text(encoding="utf-8"))
    found = kept["parts"]["front"]
    assert found["objectives"] == ["score", "size"]
    pairs = [(each["score"], -each["parameters"]) for each in found["front"]]
    assert front(pairs) == list(range(len(pairs)))
    assert all(Recipe.from_dict(each["recipe"]) for each in found["front"])
    page = (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert "Trade-offs" in page
    assert "--objectives score,size" in one.summary.command or "objectives=" in one.summary.command
    with Ledger.open(tmp_path / "one") as ledger:
        assert ledger.identity["task"]["kind"] == "binary"
        assert all("cost" in t.extra for t in ledger.trials("search") if t.curve)
