"""A whole campaign, once, and what must hold of it: the claim, the record, repeat and resume."""

from __future__ import annotations

import json
import shlex
import signal
import time
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from campaigns import (
    TRIALS,
    StopAt,
    StoppedError,
    arguments,
    check_same,
    record_of,
    summary_of,
    units_in,
)
from problems import frame, problem_of
from sklearn.metrics import roc_auc_score
from terminal import pawl, start

import pawl as package
from pawl import Recipe, Result, Task, api
from pawl.deployment.bundle import FILES, MANIFEST
from pawl.errors import LedgerError
from pawl.evidence import LIKELY_ENOUGH, from_dict, lead, to_toml
from pawl.report.summary import SCHEMA_FILE
from pawl.search import baseline


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


def test_the_bundle_averages_the_models_of_the_first_pairs(done: Result) -> None:
    final = done.summary.final
    assert (final.n, final.averaged) == (5, 5)
    assert "averages 5 such models" in done.summary.gain.statement
    artifacts = done.folder / "artifacts"
    arms = json.loads((artifacts / "kept.json").read_text()).values()
    recipes = [each.recipe for arm in arms for each in from_dict(arm).trainings]
    models = [path for path in artifacts.glob("confirm-*") if "predictions" not in path.name]
    # Of these recipes alone, and nothing is trained for the test.
    assert {path.stem.rpartition("-")[2] for path in models} == {each.id for each in recipes}
    assert not list(artifacts.glob("test-*-models*"))
    assert f"average of {final.averaged} models" in (done.folder / "bundle" / "card.md").read_text()


def test_the_folder_holds_all_there_should_be_and_nothing_half_written(done: Result) -> None:
    names = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()}
    expected = {"ledger.sqlite", "recipe.toml", "summary.json", "report.html"}
    assert expected | {f"bundle/{name}" for name in (*FILES, MANIFEST)} <= names
    assert not [name for name in names if name.endswith((".new", ".tmp"))]
    assert done.report.is_file()
    written = [
        (folder / "recipe.toml").read_bytes() for folder in (done.folder, done.folder / "bundle")
    ]
    assert written[0] == written[1] == to_toml(done.arm).encode()
    assert done.recipe == lead(done.arm)


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


def test_what_is_delivered_is_proven_or_likely_better(done: Result) -> None:
    summary = done.summary
    in_final = [t.name for t in summary.techniques if t.in_final]
    assert summary.proven == summary.gain.proven
    if summary.proven:
        assert summary.confirmation is not None
        assert summary.confirmation.p_value <= summary.evidence.alpha
    if summary.delivered == "candidate":
        assert in_final
        assert summary.proven or (summary.likelihood or 0) > LIKELY_ENOUGH
    else:
        assert not summary.proven
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
    with pytest.raises(LedgerError, match="without a metric, and got <function"):
        api.optimize(test=test, resume=folder, metric=lambda targets, scores: 0.0)


def test_a_target_named_0_is_gone_on_with(tmp_path: Path) -> None:
    table = frame(120)
    table = table[["target", *table.columns.drop("target")]]
    table.columns = range(table.shape[1])
    with pytest.raises(StoppedError):
        api.optimize(table, target=0, trials=1, out=tmp_path / "out", listener=StopAt("search"))
    with pytest.raises(StoppedError):
        api.optimize(table, resume=tmp_path / "out", listener=StopAt("search"))
