"""The final test, in made-up sessions of known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import BASE, CONSTANT, by_recipe, made_up, rows_for

from pawl.errors import TrialError
from pawl.evidence import Pairs, final_test
from pawl.execution import Session, Silent
from pawl.recipe import Recipe
from pawl.training.metrics import score
from pawl.training.population import Member

BETTER = BASE.with_("depth", layers=3)


def test_the_gain_is_the_one_there_is(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, BETTER.id: 1.0})) as session:
        asked = []

        def more(done: int, _: float) -> int:
            asked.append(done)
            return 2 if done < 7 else 0

        found = final_test(session, BASE, BETTER, rows_for(session), 3, more, average=4)
        assert session.ledger.test_touches == 1  # one claim, however many rounds
    assert asked == [3, 5, 7]
    assert (found.models, found.averaged) == (7, 4)
    assert found.result.gain.effect == pytest.approx(0.8, rel=0.1)
    assert found.result.gain.p_value < 1e-6
    assert found.nothing_learned == {}
    assert {r.status for r in found.records} == {"completed"}


def test_a_failed_seed_counts_as_a_constant_prediction(tmp_path: Path) -> None:
    """One of four fails: by hand, its error is that of the mean of its training rows."""
    failing: set[int] = set()

    def world(recipe: Recipe, member: Member) -> float | None:
        return None if member.seed in failing else 1.0 if recipe == BETTER else 2.0

    with made_up(tmp_path, world) as session:
        failing.add(session.rows.derive("test", "seed", 0))
        rows = rows_for(session)
        found = final_test(session, BASE, BETTER, rows, 4, average=4)
        assert rows.targets is not None
        train = session.asked[0].train
        constant = session.problem.targets[train].double().mean()
        worth = float((rows.targets.double() - constant).abs().mean())
    assert (found.models, found.averaged) == (4, 3)
    assert found.result.final[0] == pytest.approx((worth + 3 * 0.8) / 4, rel=0.1)
    # Both arms failed on the same seed, so it says nothing of their difference.
    assert found.result.gain.effect == pytest.approx(0.75 * 0.8, rel=0.1)
    assert sum(r.holdout is None for r in found.records) == 2


def test_an_arm_that_fails_alone_pays_for_it(tmp_path: Path) -> None:
    failing: set[int] = set()

    def world(recipe: Recipe, member: Member) -> float | None:
        if recipe == BETTER:
            return None if member.seed in failing else 1.0
        return 1.1

    with made_up(tmp_path, world) as session:
        failing.update(session.rows.derive("test", "seed", i) for i in range(3))
        found = final_test(session, BASE, BETTER, rows_for(session), 4, average=5)
    # By its one usable seed it would look better.
    assert found.result.gain.effect < -1
    assert (found.models, found.averaged) == (4, 1)


class Told(Silent):
    """Remembers the phases."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def phase(self, name: str, detail: str) -> None:
        self.said.append(f"{name}: {detail}")


@pytest.mark.parametrize(
    ("final", "seeds", "said"),
    [
        (BETTER, 1, "test: seed 1 of baseline and final on the test rows"),
        (BETTER, 2, "test: seeds 1 to 2 of baseline and final on the test rows"),
        (BASE, 1, "test: seed 1 of the recipe on the test rows"),
    ],
)
def test_what_is_trained_is_said(tmp_path: Path, final: Recipe, seeds: int, said: str) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, BETTER.id: 1.0})) as session:
        session.listener = told = Told()
        found = final_test(session, BASE, final, rows_for(session), seeds)
    assert told.said == [said]
    assert found.models == found.result.gain.n == seeds


def test_an_arm_of_which_nothing_is_usable_is_named(tmp_path: Path) -> None:
    with (
        made_up(tmp_path, by_recipe({BASE.id: None, BETTER.id: 1.0})) as session,
        pytest.raises(TrialError, match=r"no model of the baseline recipe .*made up to fail"),
    ):
        final_test(session, BASE, BETTER, rows_for(session), 2)


def test_what_learned_nothing_is_found(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 1.0, BETTER.id: CONSTANT})) as session:
        found = final_test(session, BASE, BETTER, rows_for(session), 3, average=3)
    assert found.nothing_learned == {"final": "it predicts the same for every row"}


def compared(session: Session, count: int, keep: int) -> Pairs:
    pairs = Pairs(session, "confirm", session.rows.parts[1], keep=keep)
    assert pairs.run("look", {"baseline": BASE, "candidate": BETTER}, range(count))
    return pairs


def test_the_confirmed_models_are_tested_and_kept_and_nothing_is_trained(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, BETTER.id: 1.0})) as session:
        pairs = compared(session, 6, keep=5)
        trainings, rows = len(session.asked), rows_for(session)
        found = final_test(session, BASE, BETTER, rows, 0, average=3, pairs=pairs)
        assert len(session.asked) == trainings
        assert session.ledger.test_touches == 1
        each = [pairs.load(BETTER, n).predict(rows, session.problem.device) for n in range(5)]
    assert (found.models, found.averaged, found.result.gain.n) == (5, 3, 5)
    assert len({trial.recipe_id for trial in found.records}) == 2
    assert rows.targets is not None
    values = [float(score(session.problem.objective, one, rows.targets)) for one in each]
    assert found.result.final[0] == pytest.approx(np.mean(values))
    both = found.final.predict(rows, session.problem.device)
    assert torch.allclose(both, torch.stack(each[:3]).mean(0), atol=1e-6)


def test_what_the_pairs_lack_is_trained_on_all_rows(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, BETTER.id: 1.0})) as session:
        pairs = compared(session, 2, keep=5)
        before = len(session.asked)
        found = final_test(session, BASE, BETTER, rows_for(session), 3, average=5, pairs=pairs)
        fresh = session.asked[before:]
        lengths = {len(member.train) + len(member.valid) for member in fresh}
    assert len(fresh) == 2 * 3
    assert lengths == {len(session.problem.targets)}
    assert (found.models, found.averaged) == (5, 5)


def test_a_single_model_is_of_all_rows(tmp_path: Path) -> None:
    with made_up(tmp_path, by_recipe({BASE.id: 2.0, BETTER.id: 1.0})) as session:
        pairs = compared(session, 5, keep=5)
        found = final_test(session, BASE, BETTER, rows_for(session), 1, average=1, pairs=pairs)
        assert found.final.parts[0].seed == session.rows.derive("test", "seed", 0)
    assert (found.models, found.averaged) == (6, 1)


def test_a_pair_that_failed_counts_as_a_constant_prediction(tmp_path: Path) -> None:
    failing: set[int] = set()

    def world(recipe: Recipe, member: Member) -> float | None:
        return None if member.seed in failing and recipe == BETTER else 1.0

    with made_up(tmp_path, world) as session:
        failing.add(session.rows.derive("confirm", "seed", 1))
        pairs, rows = compared(session, 5, keep=5), rows_for(session)
        assert pairs.kept(BETTER) == [0, 2, 3, 4]
        assert pairs.kept(BASE) == [0, 1, 2, 3, 4]
        found = final_test(session, BASE, BETTER, rows, 0, average=5, pairs=pairs)
        constant = session.problem.targets[pairs.rows(BETTER, 1)].double().mean()
        device = session.problem.device
        each = [pairs.load(BETTER, n).predict(rows, device) for n in (0, 2, 3, 4)]
    assert rows.targets is not None
    values = [float((rows.targets - one).abs().mean()) for one in each]
    values.append(float((rows.targets.double() - constant).abs().mean()))
    assert (found.models, found.averaged) == (5, 4)
    assert found.result.final[0] == pytest.approx(np.mean(values), rel=1e-5)


def test_where_no_pair_is_usable_a_seed_is_trained_all_the_same(tmp_path: Path) -> None:
    failing: set[int] = set()

    def world(recipe: Recipe, member: Member) -> float | None:
        return None if member.seed in failing and recipe == BETTER else 1.0

    with made_up(tmp_path, world) as session:
        failing.update(session.rows.derive("confirm", "seed", pair) for pair in range(5))
        pairs = compared(session, 5, keep=5)
        found = final_test(session, BASE, BETTER, rows_for(session), 0, average=5, pairs=pairs)
    assert (found.models, found.averaged) == (6, 1)
