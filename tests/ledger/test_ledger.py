"""The ledger: refusals, units written once, and whole ones only, whatever kills the writer."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pawl.errors import LedgerError
from pawl.ledger import LEDGER_FILE, Ledger, TrialRecord, Unit
from pawl.serving.reading import Campaign

IDENTITY = {"seed": 0, "task": "digits"}
TRIAL = TrialRecord(
    phase="search",
    role="generation 1",
    recipe={"adamw": {"learning_rate": 0.001}},
    recipe_id="abc",
    seed=3,
    split="development",
    epochs=4,
    status="completed",
    score=0.5,
    curve=[[10, 0.7, 0.4], [20, 0.6, None]],
    extra={"rungs": {"0": 0.4}},
)


def trials(count: int) -> list[TrialRecord]:
    return [dataclasses.replace(TRIAL, seed=seed) for seed in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "campaign"


def test_a_unit_is_computed_once_and_then_read(folder: Path) -> None:
    calls: list[int] = []

    def work() -> tuple[dict[str, Any], list[TrialRecord]]:
        calls.append(1)
        return {"best": 0.25, "why": ["a", None]}, trials(3)

    with Ledger.create(folder, IDENTITY) as ledger:
        assert ledger.unit("generation 1") is None
        first = ledger.compute("generation 1", "search", work)
        assert ledger.compute("generation 1", "search", work) == first
        elapsed = ledger.elapsed
    with Ledger.open(folder) as ledger:
        again = ledger.compute("generation 1", "search", work)
        assert ledger.identity == IDENTITY
        assert ledger.elapsed >= first.seconds
        assert elapsed >= first.seconds
    assert again == first
    assert first == Unit(
        "generation 1", "search", {"best": 0.25, "why": ["a", None]}, tuple(trials(3)),
        first.seconds,
    )  # fmt: skip
    assert len(calls) == 1


def test_units_come_in_order_by_phase(folder: Path) -> None:
    with Ledger.create(folder, IDENTITY) as ledger:
        ledger.record("b", "search", {}, trials(2), 0.5)
        ledger.record("a", "confirm", {}, trials(1), 0.5)
        ledger.record("c", "search", {}, [], 0.5)
        assert [unit.key for unit in ledger.units()] == ["b", "a", "c"]
        assert [unit.key for unit in ledger.units("search")] == ["b", "c"]
        assert len(ledger.trials()) == 3
        assert ledger.trials("confirm") == trials(1)


def test_a_decision_is_made_once(folder: Path) -> None:
    answers = iter([{"width": 8}, {"width": 64}])
    with Ledger.create(folder, IDENTITY) as ledger:
        assert ledger.decide("plan", lambda: next(answers)) == {"width": 8}
        assert ledger.decide("plan", lambda: next(answers)) == {"width": 8}
    with Ledger.open(folder) as ledger:
        assert ledger.decide("plan", lambda: next(answers)) == {"width": 8}


def test_a_claim_touches_the_test_rows_once(folder: Path) -> None:
    with Ledger.create(folder, IDENTITY) as ledger:
        assert ledger.test_touches == 0
        for claim in ("final", "final", "compressed"):
            ledger.touch_test(claim)
        assert ledger.test_touches == 2
    with Ledger.open(folder) as ledger:
        ledger.touch_test("final")
        assert ledger.test_touches == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_is_not_json_leaves_nothing_behind(folder: Path, bad: Any) -> None:
    broken = [*trials(2), dataclasses.replace(TRIAL, extra={"value": bad})]
    with Ledger.create(folder, IDENTITY) as ledger:
        with pytest.raises((ValueError, TypeError)):
            ledger.record("one", "search", {}, broken, 1.0)
        with pytest.raises((ValueError, TypeError)):
            ledger.record("one", "search", {"value": bad}, [], 1.0)
        with pytest.raises((ValueError, TypeError)):
            ledger.decide("one", lambda: bad)
        assert ledger.units() == []
        assert ledger.trials() == []
        assert ledger.decide("one", lambda: 1) == 1
        ledger.record("one", "search", {}, trials(1), 1.0)
        assert len(ledger.trials()) == 1


def test_a_unit_is_not_written_twice(folder: Path) -> None:
    with Ledger.create(folder, IDENTITY) as ledger:
        ledger.record("one", "search", {"first": True}, trials(1), 1.0)
        with pytest.raises(Exception, match="UNIQUE"):
            ledger.record("one", "search", {"first": False}, trials(2), 1.0)
        assert ledger.unit("one").payload == {"first": True}  # type: ignore[union-attr]
        assert len(ledger.trials()) == 1


def test_work_that_raises_writes_nothing(folder: Path) -> None:
    def work() -> tuple[dict[str, Any], list[TrialRecord]]:
        raise KeyboardInterrupt

    with Ledger.create(folder, IDENTITY) as ledger:
        with pytest.raises(KeyboardInterrupt):
            ledger.compute("one", "search", work)
        assert ledger.unit("one") is None


def test_a_campaign_is_not_started_over(folder: Path) -> None:
    Ledger.create(folder, IDENTITY).close()
    with pytest.raises(LedgerError, match=r"holds a campaign already; .*resume="):
        Ledger.create(folder, IDENTITY)


def test_a_training_is_not_gone_on_with(folder: Path) -> None:
    Ledger.create(folder, IDENTITY).close()
    (folder / "train.json").write_text("{}")
    with pytest.raises(LedgerError, match=r"holds a training already; give another out=$"):
        Ledger.create(folder, IDENTITY)


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(LedgerError, match=r"is not empty \(it has 'thesis\.tex'\)"):
        Ledger.create(folder, IDENTITY)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_start_that_was_killed_does_not_block_the_next(folder: Path) -> None:
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / f"{LEDGER_FILE}.new").write_bytes(b"half a ledger")
    with Ledger.create(folder, IDENTITY) as ledger:
        assert ledger.identity == IDENTITY


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"cannot write to .*file"):
        Ledger.create(tmp_path / "file", IDENTITY)


def test_nothing_but_the_ledger_is_left_whoever_reads_beside(folder: Path) -> None:
    left = {LEDGER_FILE, ".lock"}
    ledger = Ledger.create(folder, IDENTITY)
    ledger.record("first", "search", {}, trials(1), 1.0)
    reader = sqlite3.connect(
        f"{(folder / LEDGER_FILE).as_uri()}?mode=ro", uri=True, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM units").fetchone() == (1,)
    ending = threading.Timer(0.2, reader.close)
    ending.start()
    ledger.close()  # waits for a reader that is about to end
    ending.join()
    assert {path.name for path in folder.iterdir()} == left
    Campaign(folder, "a", "a").look()
    assert {path.name for path in folder.iterdir()} == left
    with Ledger.open(folder) as again:
        again.record("second", "search", {}, trials(1), 1.0)
        Campaign(folder, "a", "a").look()
    assert {path.name for path in folder.iterdir()} == left
    with Ledger.open(folder) as again:
        assert len(again.units()) == 2


def test_a_reader_that_stays_holds_up_no_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pawl.ledger.database._READERS_END_WITHIN", 0.05)
    ledger = Ledger.create(folder, IDENTITY)
    with contextlib.closing(sqlite3.connect(folder / LEDGER_FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM units").fetchone()
        ledger.record("first", "search", {}, trials(1), 1.0)
        ledger.close()
    with Ledger.open(folder) as again:
        assert len(again.units()) == 1


def test_opening_what_is_not_there(folder: Path) -> None:
    with pytest.raises(LedgerError, match="holds no campaign"):
        Ledger.open(folder)
    folder.mkdir()
    with pytest.raises(LedgerError, match="holds no campaign"):
        Ledger.open(folder)


def test_opening_what_is_not_a_ledger(folder: Path) -> None:
    folder.mkdir()
    (folder / LEDGER_FILE).write_bytes(b"not a database, but long enough to be looked at" * 99)
    for _ in range(2):  # and lets go of the lock
        with pytest.raises(LedgerError, match="is not a ledger"):
            Ledger.open(folder)


def test_opening_what_another_version_wrote(folder: Path) -> None:
    folder.mkdir()
    (folder / LEDGER_FILE).touch()
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"another version of pawl \(ledger 0, this one"):
            Ledger.open(folder)


def test_files_are_whole_or_not_there(folder: Path) -> None:
    with Ledger.create(folder, IDENTITY) as ledger:
        path = ledger.write_file("bundle/card.md", b"first")
        assert path == folder / "bundle" / "card.md"
        assert ledger.write_file("bundle/card.md", b"second").read_bytes() == b"second"
        (folder / "model.new").mkdir()  # the temporary name is taken: nothing can be written
        with pytest.raises(LedgerError, match=r"cannot write .*model"):
            ledger.write_file("model", b"weights")
        assert not (folder / "model").exists()
    assert [file.name for file in (folder / "bundle").iterdir()] == ["card.md"]


PRELUDE = """
import dataclasses, sys, time
from pathlib import Path
from pawl.ledger import Ledger, TrialRecord
folder = Path(sys.argv[1])
trial = TrialRecord(phase="search", role="", recipe={}, recipe_id="", seed=0, split="",
                    epochs=1, status="completed", score=0.5)
"""


def child(script: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_campaign_has_one_driver(folder: Path) -> None:
    Ledger.create(folder, IDENTITY).close()
    script = "ledger = Ledger.open(folder); print('open', flush=True); sys.stdin.read(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(LedgerError, match="another process is working on the campaign"):
            Ledger.open(folder)
        other.kill()
    Ledger.open(folder).close()


WRITER = """
ledger = Ledger.open(folder)
first = len(ledger.units())
for number in range(first, 100_000):
    count = number % 7
    trials = [dataclasses.replace(trial, seed=seed, reason="x" * 500) for seed in range(count)]
    ledger.compute(f"unit {number}", "search", lambda: ({"count": count}, trials))
    ledger.write_file("report.html", str(number).encode() * 2000)
    if number == first + 5:
        print("writing", flush=True)
"""


def test_killing_the_writer_leaves_whole_units(folder: Path) -> None:
    Ledger.create(folder, IDENTITY).close()
    chance = random.Random(1)
    written = 0
    for _ in range(4):
        with child(WRITER, folder) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            time.sleep(chance.uniform(0.0, 0.15))
            os.kill(writer.pid, signal.SIGKILL)
        with Ledger.open(folder) as ledger:
            units = ledger.units()
            assert [unit.key for unit in units] == [f"unit {i}" for i in range(len(units))]
            for unit in units:
                assert [trial.seed for trial in unit.trials] == list(range(unit.payload["count"]))
            assert len(ledger.trials()) == sum(len(unit.trials) for unit in units)
        assert len(units) >= written + 6
        written = len(units)
        text = (folder / "report.html").read_bytes()
        number = text[: len(text) // 2000]
        assert text == number * 2000
        assert int(number) in (written - 2, written - 1)


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger.open(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
from pawl.errors import LedgerError
try:
    for number in range(10_000):
        trials = [dataclasses.replace(trial, seed=seed, reason="x" * 900) for seed in range(20)]
        ledger.compute(f"unit {number}", "search", lambda: ({}, trials))
except LedgerError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(folder: Path) -> None:
    Ledger.create(folder, IDENTITY).close()
    with child(FULL, folder) as writer:
        out, err = writer.communicate(timeout=60)
    assert out.startswith("cannot write 'ledger.sqlite' in "), err
    assert out.count("\n") == 1
    assert "what was finished is kept" in out
    assert f"resume={str(folder)!r}" in out
    assert "no transaction" not in out
    with Ledger.open(folder) as ledger:
        units = ledger.units()
        assert units
        assert all(len(unit.trials) == 20 for unit in units)


def test_an_artifacts_digest_is_of_what_is_there(folder: Path) -> None:
    data = b"weights" * 1000
    with Ledger.create(folder, IDENTITY) as ledger:
        path = ledger.write_file("model.safetensors", data)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest()
