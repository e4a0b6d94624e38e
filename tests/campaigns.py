"""A small campaign, and what must be the same of two of them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import torch

from pawl import Result, api
from pawl.deployment.bundle import FILES
from pawl.ledger import Ledger

# Every process that runs the campaign has one thread: the number of workers follows from it, and which
# members are compared when, from that.
torch.set_num_threads(1)

TRIALS, SEED = 6, 1


def arguments(files: tuple[Path, Path]) -> tuple[object, ...]:
    """The campaign's command line."""
    return "optimize", files[0], "--test", files[1], "--trials", TRIALS, "--seed", SEED


def optimize(files: tuple[Path, Path], out: Path) -> Result:
    """The same campaign from Python."""
    return api.optimize(str(files[0]), test=str(files[1]), trials=TRIALS, seed=SEED, out=out)


def timeless(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without what a clock decides."""
    kept = {k: v for k, v in summary.items() if k not in ("seconds", "parts", "hardware")}
    timed = ("latency_ms", "batch_latency_ms")
    kept["cost"] = {k: v for k, v in summary["cost"].items() if k not in timed}
    if single := kept["cost"]["single"]:
        kept["cost"]["single"] = {k: v for k, v in single.items() if k not in timed}
    return kept


def summary_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def record_of(folder: Path) -> dict[str, Any]:
    """Everything in a ledger that no clock decides: units, trials, decisions, claims."""
    with Ledger.open(folder) as ledger:
        trials = [trial.timeless() for trial in ledger.trials()]
        units = [(unit.key, unit.phase, unit.payload) for unit in ledger.units()]
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        decisions = db.execute("SELECT key, value FROM decisions ORDER BY key").fetchall()
        claims = db.execute("SELECT claim FROM touches").fetchall()
    db.close()
    return {"units": units, "trials": trials, "decisions": decisions, "claims": claims}


def check_same(folder: Path, other: Path) -> None:
    """Holds two campaigns equal: what they say, what they recorded, and what they deploy."""
    assert timeless(summary_of(folder)) == timeless(summary_of(other))
    assert record_of(folder) == record_of(other)
    names = [
        "recipe.toml",
        *(f"bundle/{n}" for n in FILES if n not in ("card.md", "measured.json")),
    ]
    names += [str(p.relative_to(folder)) for p in (folder / "artifacts").iterdir()]
    for name in names:  # what is left out holds latencies
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def units_in(folder: Path) -> list[str]:
    """Keys of the units that a campaign has finished so far, read beside it."""
    path = folder / "ledger.sqlite"
    if not path.is_file():
        return []
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return [row[0] for row in db.execute("SELECT key FROM units ORDER BY id")]
        finally:
            db.close()
    except sqlite3.OperationalError:
        return []


class StoppedError(Exception):
    pass


class StopAt:
    """A listener that ends the campaign when a phase begins."""

    def __init__(self, name: str) -> None:
        self.name = name

    def phase(self, name: str, detail: str) -> None:
        if name == self.name:
            raise StoppedError

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        pass
