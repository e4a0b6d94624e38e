"""The search's generations: where their structures come from; real trainings throughout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from problems import problem

from pawl.execution import Session
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.search import SearchPlan, baseline, search, starts


def test_behind_the_known_recipes_structures_are_new(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        start = baseline(session.facts)
        plan = SearchPlan(width=1, quota=1, trials=16, deadline=None)
        trials = search(session, start, plan)
    assert len(trials) == 16
    structures = [Recipe.from_dict(trial.recipe).structure for trial in trials]
    proposed = [i for i, trial in enumerate(trials) if trial.extra["source"] == "sampler"]
    assert len(proposed) >= 4
    for index in proposed:
        assert structures[index] not in structures[:index]


def test_known_recipes_get_fewer_settings_where_that_is_wanted(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        start = baseline(session.facts)
        known = dict.fromkeys((start, *starts(start, session.facts)))
        plan = SearchPlan(width=2, quota=3, trials=2 * len(known) + 3, deadline=None, known=2)
        trials = search(session, start, plan)
    counts = Counter((trial.extra["generation"], trial.extra["source"]) for trial in trials)
    assert counts == {
        **{(number, "known recipe"): 2 for number in range(len(known))},
        (len(known), "sampler"): 3,
    }


def test_structures_train_for_the_passes_they_are_given_and_a_resumed_search_repeats_them(
    tmp_path: Path,
) -> None:
    asked = list[str]()

    def passes(recipe: Recipe) -> int:
        asked.append(recipe.structure)
        return 1 + len(asked) % 3

    def found() -> list[tuple[str, int]]:
        plan = SearchPlan(width=1, quota=2, trials=6, deadline=None, passes=passes)
        return [(trial.recipe_id, trial.epochs) for trial in search(session, start, plan)]

    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=4)
        start = baseline(session.facts)
        first = found()
    assert [epochs for _, epochs in first] == [2, 2, 3, 3, 1, 1]
    assert len(asked) == len(set(asked)) == 3
    with Ledger.open(tmp_path / "campaign") as ledger:
        session = Session(problem("table"), ledger, 0, epochs=4)
        assert found() == first
    assert len(asked) == 3
