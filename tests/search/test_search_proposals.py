"""Proposals: where a generation's structure comes from, and its points in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from problems import problem

from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Recipe
from pawl.search import Space, baseline, starts
from pawl.search.proposals import points, propose_structure
from pawl.search.sampler import Sampler, make_sampler


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        yield Session(problem("table"), ledger, 3, epochs=1)


def space_of(session: Session) -> Space:
    return Space(baseline(session.facts), session.facts)


def sampler_of(session: Session, generation: int) -> Sampler:
    return make_sampler("random", space_of(session), session.rows.seed, generation, [])


def trial(space: Space, recipe: Recipe, score: float, status: str = "completed") -> TrialRecord:
    return TrialRecord(
        phase="search", role="", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0,
        split="search", epochs=1, status=status, score=score, holdout=None, steps=1, seconds=0.0,
        reason="", curve=[], extra={"params": space.params(recipe)},
    )  # fmt: skip


def test_known_recipes_come_first_then_neighbors_and_the_sampler_in_turn(session: Session) -> None:
    space = space_of(session)
    known = (baseline(session.facts), *starts(baseline(session.facts), session.facts))
    best = known[1]
    trials = [trial(space, known[0], 0.7), trial(space, best, 0.9)]
    trials.append(trial(space, known[2], 0.95, "pruned"))  # not to be built on

    def proposed(generation: int) -> tuple[str, dict[str, object] | None, dict[str, object]]:
        sampler = sampler_of(session, generation)
        return propose_structure(session, space, sampler, known, trials, generation)

    for generation, recipe in enumerate(known):
        source, first, structure = proposed(generation)
        assert source == "known recipe"
        assert first == space.params(recipe)
        assert structure == space.structure(space.params(recipe))
    even = len(known) + len(known) % 2
    for generation in (even, even + 2):
        source, first, structure = proposed(generation)
        assert source == "neighbor of the best"
        assert first is not None
        assert structure == space.structure(first)
        before = space.params(best)
        changed = [name for name, value in first.items() if value != before[name]]
        assert len(changed) == 1
        assert changed[0] in space.structural
        assert space.recipe(first).structure not in {
            Recipe.from_dict(t.recipe).structure for t in trials
        }
        assert proposed(generation) == (source, first, structure)  # the same when resumed
    source, first, structure = proposed(even + 1)
    assert (source, first) == ("sampler", None)
    assert set(structure) == space.structural
    # With nothing to be a neighbor of, the sampler proposes.
    assert (
        propose_structure(session, space, sampler_of(session, even), known, [], even)[0]
        == "sampler"
    )


@pytest.mark.parametrize("count", [1, 2, 9, 20])
@pytest.mark.parametrize("given", [True, False])
def test_points_are_the_given_one_some_near_it_and_the_samplers(
    session: Session, count: int, given: bool
) -> None:
    space = space_of(session)
    first = space.params(starts(baseline(session.facts), session.facts)[0]) if given else None
    structure = space.structure(first or space.params(baseline(session.facts)))

    def drawn() -> list[dict[str, object]]:
        return list(points(session, space, sampler_of(session, 0), first, structure, count))

    found = drawn()
    assert found == drawn()
    assert len(found) == count
    for point in found:
        assert space.structure(point) == structure
        for name, distribution in space.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(point[name]))
    if first is not None:
        assert found[0] == first
        near = math.ceil(0.5 * (count - 1))
        rates = [float(str(point["adamw.learning_rate"])) for point in found[: 1 + near]]
        assert all(1 / 30 < rate / rates[0] < 30 for rate in rates)
        assert np.median([abs(math.log(rate / rates[0])) for rate in rates]) < math.log(4)
        assert len(set(rates)) == len(rates)
