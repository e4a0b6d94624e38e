"""A whole campaign, once, and what must hold of it: the claim, the record, repeat and resume."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from problems import frame, problem_of
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from terminal import STEPS, pawl, start

import pawl as package
from pawl import Recipe, Result, Task, api, pacing
from pawl.deployment.bundle import FILES, MANIFEST
from pawl.errors import LedgerError
from pawl.ledger import Ledger
from pawl.report.summary import SCHEMA_FILE
from pawl.search import baseline

TRIALS, SEED = 6, 1


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing, "_STEPS", STEPS)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Rows to develop on and rows to test on, as CSV files."""
    folder = tmp_path_factory.mktemp("data")
    cancer = load_breast_cancer()
    table = pd.DataFrame(cancer.data, columns=cancer.feature_names)
    table["diagnosis"] = cancer.target_names[cancer.target]
    parts = train_test_split(table, test_size=150, random_state=4, stratify=table["diagnosis"])
    paths = folder / "cancer.csv", folder / "cancer test.csv"
    for path, part in zip(paths, parts, strict=True):
        part.to_csv(path, index=False)
    return paths


def arguments(files: tuple[Path, Path]) -> tuple[object, ...]:
    """The campaign's command line."""
    return "optimize", files[0], "--test", files[1], "--trials", TRIALS, "--seed", SEED


def optimize(files: tuple[Path, Path], out: Path) -> Result:
    """The same campaign from Python."""
    return api.optimize(str(files[0]), test=str(files[1]), trials=TRIALS, seed=SEED, out=out)


@pytest.fixture(scope="module")
def done(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    return optimize(files, tmp_path_factory.mktemp("campaign") / "out")


def timeless(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without what a clock decides."""
    kept = {k: v for k, v in summary.items() if k not in ("seconds", "hardware")}
    timed = ("latency_ms", "batch_latency_ms")
    kept["cost"] = {k: v for k, v in summary["cost"].items() if k not in timed}
    return kept


def summary_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def record_of(folder: Path) -> dict[str, Any]:
    """Everything in a ledger that no clock decides: units, trials, decisions, claims."""
    with Ledger.open(folder) as ledger:
        trials = [trial.to_dict() | {"seconds": 0.0} for trial in ledger.trials()]
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
    names = ["recipe.toml", *(f"bundle/{n}" for n in FILES if n != "card.md")]
    names += [str(p.relative_to(folder)) for p in (folder / "artifacts").iterdir()]
    for name in names:  # the card holds latencies
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def test_the_summary_is_as_its_schema_says(done: Result) -> None:
    summary = summary_of(done.folder)
    jsonschema.validate(summary, json.loads(SCHEMA_FILE.read_text()))
    assert summary["metric"] == "roc_auc"
    assert summary["task"]["target"] == "diagnosis"
    assert summary["task"]["test_rows"] == 150
    assert summary["task"]["development_rows"] == 569 - 150
    assert summary["test_touches"] == 1
    assert summary["budget_seconds"] is None
    counts = summary["trials"]
    assert counts["completed"] + counts["pruned"] + counts["failed"] == TRIALS
    assert summary["versions"]["pawl"]
    low, high = summary["final"]["interval"]
    assert low <= summary["final"]["value"] <= high
    low, high = summary["gain"]["interval"]
    assert low <= summary["gain"]["value"] <= high


def test_the_folder_holds_all_there_should_be_and_nothing_half_written(done: Result) -> None:
    names = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()}
    expected = {"ledger.sqlite", "recipe.toml", "summary.json", "report.html"}
    assert expected | {f"bundle/{name}" for name in (*FILES, MANIFEST)} <= names
    assert not [name for name in names if name.endswith((".new", ".tmp"))]
    assert done.report.is_file()
    assert done.recipe == Recipe.read(done.folder / "bundle" / "recipe.toml")


def test_the_value_is_what_anyone_computes_from_pawl_predict(
    done: Result, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "predictions.csv"
    ran = pawl("predict", done.folder / "bundle", files[1], "--out", out)
    assert (ran.returncode, ran.stderr) == (0, "")
    predictions = pd.read_csv(out)
    truth = pd.read_csv(files[1])["diagnosis"]
    positive = summary_of(done.folder)["task"]["classes"][1]
    value = roc_auc_score(truth == positive, predictions[f"p_{positive}"])
    assert value == pytest.approx(done.summary.final.value, abs=1e-9)
    # And the target may be missing.
    pd.read_csv(files[1]).drop(columns="diagnosis").to_csv(tmp_path / "new.csv", index=False)
    pd.testing.assert_frame_equal(
        done.predict(tmp_path / "new.csv"), predictions, rtol=1e-6, check_dtype=False
    )


def test_unproven_gains_leave_the_baseline(done: Result) -> None:
    summary = done.summary
    in_final = [t.name for t in summary.techniques if t.in_final]
    if summary.gain.proven:
        assert in_final
        assert summary.confirmation is not None
        assert summary.confirmation.p_value <= summary.evidence.alpha
    else:
        assert not in_final
        assert summary.gain.value == 0
        assert summary.baseline == summary.final
        assert done.recipe.optimizer == "adamw"
    for t in summary.techniques:
        assert t.verdict != "kept" or t.in_final


def test_the_report_is_a_page_without_scripts(done: Result) -> None:
    page = done.report.read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert "http-equiv" not in page.lower() or "content-security-policy" in page.lower()
    assert done.summary.gain.statement.split(" (")[0].split(",")[0][:30] in page
    assert "cancer" in page


def test_load_and_repr(done: Result) -> None:
    loaded = package.load(done.folder)
    assert loaded == done
    assert loaded.summary.gain.statement in repr(loaded)
    shown = loaded._repr_html_()
    assert "<table>" in shown
    assert all(t.name in shown for t in loaded.summary.techniques)
    with pytest.raises(LedgerError, match="no finished campaign"):
        package.load(done.folder / "bundle")


def test_the_command_repeats_the_campaign(done: Result, tmp_path: Path) -> None:
    """As it stands in the summary, in a shell, spaces in paths and all."""
    program, *rest = shlex.split(done.summary.command)
    assert program == "pawl"
    ran = pawl(*rest, "--out", tmp_path / "again")
    assert ran.returncode == 0, ran.stderr
    check_same(tmp_path / "again", done.folder)


def test_resuming_what_is_finished_returns_it(done: Result) -> None:
    names = ("summary.json", "report.html", "bundle/model.onnx")
    before = {name: (done.folder / name).stat().st_mtime_ns for name in names}
    record = record_of(done.folder)
    assert api.optimize(resume=done.folder) == done
    assert record_of(done.folder) == record
    assert before == {name: (done.folder / name).stat().st_mtime_ns for name in names}


def test_a_folder_that_holds_a_campaign_is_not_overwritten(
    done: Result, files: tuple[Path, Path]
) -> None:
    before = summary_of(done.folder)
    ran = pawl(*arguments(files), "--out", done.folder)
    assert ran.returncode == 2
    assert "holds a campaign already" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert summary_of(done.folder) == before


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


def kill_after(unit: str, files: tuple[Path, Path], out: Path) -> list[str]:
    """Starts the campaign and kills it once a unit is there; returns the units it had finished."""
    process = start(*arguments(files), "--out", out)
    while process.poll() is None and not any(key.startswith(unit) for key in units_in(out)):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, error = process.communicate()
    assert process.returncode == -signal.SIGKILL, error
    assert not (out / "summary.json").exists()
    return units_in(out)


@pytest.mark.parametrize("unit", ["search/0", "confirm"])
def test_killed_and_resumed_ends_as_if_nothing_had_happened(
    done: Result, files: tuple[Path, Path], tmp_path: Path, unit: str
) -> None:
    folder = tmp_path / "killed"
    finished = kill_after(unit, files, folder)
    assert finished == units_in(done.folder)[: len(finished)]
    result = api.optimize(resume=folder)
    assert result.summary.test_touches == 1
    check_same(folder, done.folder)


def test_resuming_with_changed_data_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    copies = tmp_path / "data.csv", tmp_path / "test.csv"
    for source, target in zip(files, copies, strict=True):
        target.write_bytes(source.read_bytes())
    kill_after("search/0", copies, tmp_path / "out")
    lines = copies[0].read_text().splitlines()
    copies[0].write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(LedgerError, match="not what the campaign"):
        api.optimize(resume=tmp_path / "out")
    copies[0].unlink()
    ran = pawl("optimize", "--resume", tmp_path / "out")
    assert ran.returncode == 2
    assert "data.csv" in ran.stderr
    assert "Traceback" not in ran.stderr


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


def mean_gap(targets: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.abs(targets - predictions).mean())


def test_a_gain_that_is_proven_from_python_objects(tmp_path: Path) -> None:
    """The baseline is far from done after so few steps, and so a higher rate is shown to help."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(600, 4)).round(3), columns=list("abcd"))
    table["target"] = 10 * (table.a * table.b + np.sin(2 * table.c))
    test = table.tail(150)
    task = Task(data=table.head(450), test=test, metric=mean_gap, direction="minimize")
    folder = tmp_path / "out"
    with pytest.raises(StoppedError):
        api.optimize(task, trials=6, seed=1, out=folder, listener=StopAt("deploy"))
    with pytest.raises(LedgerError, match="Python objects"):
        api.optimize(resume=folder)
    result = api.optimize(task, resume=folder)
    summary = result.summary
    assert (summary.metric, summary.direction, summary.test_touches) == ("mean_gap", "minimize", 1)
    assert summary.gain.proven
    assert summary.gain.value > 0
    assert summary.gain.value == pytest.approx(summary.baseline.mean - summary.final.mean)
    assert summary.confirmation is not None
    assert summary.confirmation.p_value <= 0.05
    assert "improves" in summary.gain.statement
    in_final = {t.name for t in summary.techniques if t.in_final}
    assert in_final == {c.name for c in result.recipe.changes(baseline_of(task))}
    # The model that is deployed is the final recipe's, and it does what is said of it.
    gap = mean_gap(test["target"].to_numpy(), result.predict(test)["prediction"].to_numpy())
    assert gap == pytest.approx(summary.final.value, rel=1e-5)
    assert gap < summary.baseline.value


def baseline_of(task: Task) -> Recipe:
    return baseline(problem_of(task).facts())


def test_objects_that_a_campaign_was_started_with_are_asked_for_again(tmp_path: Path) -> None:
    table = frame(240)
    table.head(180).to_csv(tmp_path / "table.csv", index=False)
    source, test, folder = str(tmp_path / "table.csv"), table.tail(60), tmp_path / "out"
    with pytest.raises(StoppedError):
        api.optimize(source, test=test, trials=1, out=folder, listener=StopAt("search"))
    with pytest.raises(LedgerError, match="test=test"):
        api.optimize(resume=folder)
    with pytest.raises(StoppedError):
        api.optimize(test=test, resume=folder, listener=StopAt("search"))
