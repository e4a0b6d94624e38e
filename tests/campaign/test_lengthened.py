"""Networks are told apart by trainings that are as long as those that are delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaigns import SEED

from pawl import api, pacing
from pawl.ledger import Ledger


def test_a_race_of_networks_has_the_length_of_what_is_compared(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(session: Any, pace: pacing.Pace, *_: object) -> int:
        return 2 * pace.epochs

    monkeypatch.setattr(pacing, "lengthened", twice)
    out = tmp_path / "out"
    api.optimize(str(files[0]), test=str(files[1]), trials=6, seed=SEED, out=out, families=["nets"])
    with Ledger.open(out) as ledger:
        lengths = {
            phase: {trial.epochs for trial in ledger.trials(phase)}
            for phase in ("search", "race", "confirm")
        }
    (short,) = lengths["search"]
    assert lengths["race"] == lengths["confirm"] == {2 * short}
