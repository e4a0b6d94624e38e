"""However models are blended: the same twice, and the same when it was stopped and went on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import dying
import pytest
from campaigns import check_same
from made_up import BASE, made_up
from problems import frame

from pawl.ensembling import COMBINERS, candidates, snapshots
from pawl.evidence import Blend, ConfirmationEffort, Stacked, confirm, race
from pawl.options import Ensemble
from pawl.recipe import Recipe
from pawl.training.population import Member

KINDS = get_args(Ensemble)
TREES = Recipe.of(extra_trees={})
RECIPES = [*snapshots(BASE), BASE.with_("depth", layers=3), TREES]
CYCLE = "cosine_restarts"


def world(recipe: Recipe, _: Member) -> float:
    """Errors of some recipes cancel, so that they are blended."""
    if CYCLE in recipe:
        return (1.0, -1.4, 2.0)[RECIPES.index(recipe)]
    return {TREES.id: 1.3, RECIPES[3].id: -1.1}.get(recipe.id, 3.0)


def blended(
    folder: Path, kind: str, *, resume: bool = False, raced_only: bool = False
) -> tuple[str, str, int]:
    """Returns the arm that a race ends with, what the ledger then has, and how much was trained."""
    with made_up(folder, world, resume=resume) as session:
        racing = race(session, RECIPES, 5)
        if raced_only:
            return "", "", len(session.asked)
        arm = candidates(racing, RECIPES, kind)[0]  # type: ignore[arg-type]
        assert isinstance(arm, Blend | Stacked) == (kind != "none")
        confirm(session, BASE, arm, ConfirmationEffort(False, (5,)), keep=2)
        return arm.id, session.ledger.digest(), len(session.asked)


def test_all_kinds_are_here() -> None:
    assert {*COMBINERS, "auto", "none", "snapshots", "stacked"} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_twice_and_gone_on_with(kind: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "stopped")]
    for folder in folders:
        folder.mkdir()
    arm, digest, trained = blended(folders[0], kind)
    assert blended(folders[1], kind) == (arm, digest, trained)
    _, _, before = blended(folders[2], kind, raced_only=True)
    assert before == 5 * len(RECIPES)
    assert blended(folders[2], kind, resume=True) == (arm, digest, trained - before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_campaign_killed_and_resumed_is_the_same(kind: str, tmp_path: Path) -> None:
    table, files = frame(400), (tmp_path / "rows.csv", tmp_path / "test.csv")
    table[:300].to_csv(files[0], index=False)
    table[300:].to_csv(files[1], index=False)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"ensemble": kind, "families": ["nets", "linear", "neighbors"]}
    dying.run(files, whole, trials=16, seed=5, options=options)
    died = 0
    while dying.run(
        files, killed, trials=16, seed=5, die_at=60 + 60 * died, options=options
    ) is not None:  # fmt: skip
        died += 1
    assert died
    check_same(killed, whole)
