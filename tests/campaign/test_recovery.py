"""Killed anywhere and resumed, a campaign ends as if nothing had happened."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import dying
import pytest
from campaigns import SEED, TRIALS, check_same, record_of, summary_of, units_in

from pawl import Result
from pawl.ledger import Ledger

Point = tuple[int, int, int, str]


def run(files: tuple[Path, Path], out: Path, **death: float) -> str | None:
    return dying.run(files, out, trials=TRIALS, seed=SEED, **death)  # type: ignore[arg-type]


def state_of(folder: Path) -> tuple[int, int, int]:
    """Numbers of units, decisions and files that are on record."""
    path = folder / "ledger.sqlite"
    if not path.is_file():
        return 0, 0, 0
    with sqlite3.connect(path) as db:
        counts = [
            db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("units", "decisions", "artifacts")
        ]
    db.close()
    return counts[0], counts[1], counts[2]


def check_whole(folder: Path, done: Result, before: list[str]) -> list[str]:
    """Holds that a killed campaign has lost nothing, and has only what the undisturbed one has."""
    units = units_in(folder)
    assert units[: len(before)] == before
    assert units == units_in(done.folder)[: len(units)]
    if units:
        with Ledger.open(folder) as ledger:
            trials = [trial.timeless() for trial in ledger.trials()]
        assert trials == record_of(done.folder)["trials"][: len(trials)]
    return units


def kill_every(writes: int, files: tuple[Path, Path], out: Path, done: Result) -> list[Point]:
    """Kills a campaign at a number of writes, goes on and kills it again, until it ends.

    Where it got no further than before it is let go on for longer: the end (bundle, page, summary) is
    written anew by each process.
    """
    points: list[Point] = []
    units: list[str] = []
    before, die_at = (-1, -1), writes
    while (what := run(files, out, die_at=die_at)) is not None:
        state = state_of(out)
        points.append((*state, f"{die_at}: {what.replace(str(out), '')}"))
        units = check_whole(out, done, units)
        die_at = die_at + writes if state[:2] == before else writes
        before = state[:2]
        assert len(points) < 100
    assert summary_of(out)["test_touches"] == 1
    check_same(out, done.folder)
    return points


def test_killed_at_writes_all_over_and_resumed(
    done: Result, files: tuple[Path, Path], tmp_path: Path
) -> None:
    points = kill_every(25, files, tmp_path / "out", done)
    assert len(points) >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_thirty_points_and_more(
    done: Result, files: tuple[Path, Path], tmp_path: Path
) -> None:
    points: set[Point] = set()
    for writes in (6, 7, 8):
        points.update(kill_every(writes, files, tmp_path / str(writes), done))
    print(f"{len(points)} points", *sorted(points), sep="\n")
    assert len(points) >= 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_by_the_clock(done: Result, files: tuple[Path, Path], tmp_path: Path) -> None:
    chance, out = random.Random(3), tmp_path / "out"
    units: list[str] = []
    kills = 0
    while run(files, out, die_after=chance.uniform(0.5, 3.0 + kills)) is not None:
        kills += 1
        units = check_whole(out, done, units)
    print(f"{kills} kills")
    check_same(out, done.folder)
