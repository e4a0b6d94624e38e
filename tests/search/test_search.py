"""The search's generations: where their structures come from; real trainings throughout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from problems import problem

from pawl.execution import Session
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.search import SearchPlan, Strategy, baseline, search, starts


def test_a_sampler_proposes_new_structures_and_more_settings_of_the_best(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        start = baseline(session.facts)
        plan = SearchPlan(width=1, quota=1, trials=24, deadline=None)
        trials = search(session, start, plan)
        sign = session.problem.objective.sign
    assert len(trials) == 24
    structures = [Recipe.from_dict(trial.recipe).structure for trial in trials]
    proposed = [i for i, trial in enumerate(trials) if trial.extra["source"] == "sampler"]
    fresh = [index for index in proposed if structures[index] not in structures[:index]]
    again = [index for index in proposed if index not in fresh]
    for index in again:
        best = max(range(index), key=lambda i: sign * (trials[i].score or 0.0))
        assert structures[index] == structures[best]
        assert trials[index].recipe_id not in {trial.recipe_id for trial in trials[:index]}
    assert len(fresh) > len(again) > 0


def test_known_recipes_and_the_sampler_take_turns_and_settings_of_known_ones_may_be_few(
    tmp_path: Path,
) -> None:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        start = baseline(session.facts)
        known = list(dict.fromkeys((start, *starts(start, session.facts))))
        count = 2 * len(known) + 3 * len(known)  # the last two generations are the sampler's
        plan = SearchPlan(width=2, quota=3, trials=count, deadline=None, known=2)
        trials = search(session, start, plan)
    sources = dict[int, str]()
    for trial in trials:
        sources[trial.extra["generation"]] = trial.extra["source"]
    turns = ["known recipe"] * 2 + ["sampler", "known recipe"] * (len(known) - 2) + ["sampler"] * 2
    assert [sources[number] for number in sorted(sources)] == turns
    counts = Counter(trial.extra["generation"] for trial in trials)
    assert all(counts[i] == (2 if source == "known recipe" else 3) for i, source in sources.items())
    tried = {Recipe.from_dict(t.recipe).structure for t in trials if t.extra["source"] != "sampler"}
    assert tried == {recipe.structure for recipe in known}


def test_known_recipes_are_tried_where_the_sampler_has_nothing_left(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=1)
        start = baseline(session.facts)
        plan = SearchPlan(width=2, quota=2, trials=100, deadline=None)
        strategy = Strategy.of("grid,none", ("dropout.rate=0.1,0.3",))
        only = ("dropout", "ema", "adamw")
        known = dict.fromkeys((start, *starts(start, session.facts, only)))
        trials = search(session, start, plan, strategy, only)
    tried = {Recipe.from_dict(t.recipe).structure for t in trials if t.extra["source"] != "sampler"}
    assert tried == {recipe.structure for recipe in known}
    assert len(known) > 2
    assert len(trials) < 100


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
