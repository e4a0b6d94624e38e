"""`pawl diagnose` through its faces; what is measured of data; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from problems import frame, images
from terminal import run_here

import pawl
from pawl.data import load
from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.measuring import measured
from pawl.errors import LedgerError, PawlError, RecipeError

ROWS = 400
FAST = {"epochs": 6}


def rules_of(data: object, **options: object) -> list[str]:
    return [each.rule for each in pawl.diagnose(data, **FAST, **options).findings]


def faulty() -> pd.DataFrame:
    """A table with a leak, a row number, a copy and a value far out."""
    table, random = frame(ROWS), np.random.default_rng(0)
    table.insert(0, "number", np.arange(ROWS) + 1000)
    table["copy"] = 3 - 2 * table["size"]
    yes = (table["target"] == "yes").astype(float)
    table["leak"] = yes + 0.05 * random.normal(size=ROWS)
    table.loc[5, "noise"] = 1e6
    return table


def test_faults_of_a_table_are_found_in_the_order_of_their_weight() -> None:
    found = pawl.diagnose(faulty(), **FAST)
    told = {each.rule: each for each in found.findings}
    assert {"target_leakage", "identifier_columns", "outliers", "duplicate_columns"} <= set(told)
    assert [each.severity for each in found.findings] == sorted(
        (each.severity for each in found.findings), key=("critical", "warning", "info").index
    )
    assert "'leak'" in told["target_leakage"].evidence
    assert "'number'" in told["identifier_columns"].evidence
    assert "robust_scale" in told["outliers"].suggests
    assert found.diagnosis.training is not None
    assert found.diagnosis.training.status in ("completed", "stopped")


def test_a_leak_of_huge_numbers_is_found() -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 3))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "target": x[:, 0] * 1e30})
    facts = measured(load(pawl.Task(data=table)))
    assert facts.columns[0].predicts > 0.95
    assert facts.columns[1].predicts < 0.5


def test_a_clean_table_has_none_of_them_and_the_same_seed_finds_the_same() -> None:
    once, again = (pawl.diagnose(frame(ROWS), epochs=10, seed=3) for _ in range(2))
    assert not {each.rule for each in once.findings} - {"overfitting", "model_too_large"}
    assert once.findings == again.findings
    assert once.to_json() == again.to_json()


def test_faults_of_a_training_are_found_on_images() -> None:
    recipe = pawl.Recipe.of(batch_size={"size": 32}, sgd={"learning_rate": 1.0})
    assert "unscaled_inputs" in rules_of(images(ROWS), recipe=recipe)
    slow = pawl.Recipe.of(standardize={}, batch_size={"size": 32}, adamw={"learning_rate": 1e-5})
    assert rules_of(images(ROWS), recipe=slow) == ["learning_rate_too_low"]


def facts(table: pd.DataFrame, **options: object) -> DataFacts:
    return measured(load(pawl.Task(data=table, **options)), trees=False)


def test_rows_are_measured_against_each_other() -> None:
    table = frame(ROWS)
    seen = facts(table, test=pd.concat([frame(ROWS).iloc[:50], table.iloc[:50]]))
    assert seen.seen == 100  # rows are drawn by the same seed
    doubled = facts(pd.concat([table, table]), test=table)
    assert doubled.copies == 0.5
    other = table.assign(target=np.where(table["target"] == "yes", "no", "yes"))
    assert facts(pd.concat([table, other]), test=table).conflicts == 1.0
    assert facts(table, test=table).conflicts == 0.0
    in_order = facts(table.sort_values("target"), test=table)
    assert in_order.sorted
    assert in_order.neighbors > 0.9
    moved = table.assign(size=table["size"] + 2)
    drift = {each.name: each.drift for each in facts(table, test=moved).columns}
    assert drift["size"] > 0.5
    assert max(value for name, value in drift.items() if name != "size") == 0.0


def test_wrong_labels_of_clear_rows_are_seen() -> None:
    pixels, targets = images(600)
    clean = measured(load(pawl.Task(data=(pixels, targets))))
    random = np.random.default_rng(0)
    wrong = np.where(random.random(600) < 0.3, random.integers(0, 3, 600), targets)
    noisy = measured(load(pawl.Task(data=(pixels, wrong))))
    assert clean.clear is not None
    assert noisy.clear is not None
    assert clean.clear.clearest == 0.0
    assert 0.1 < noisy.clear.clearest < 0.3
    assert clean.clear.suspects < 10
    assert 60 < noisy.clear.suspects < 130  # 96 are unlike what they were, about


def test_the_command_shows_findings_and_leaves_a_record(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "table.csv", tmp_path / "out"
    faulty().to_csv(path, index=False)
    asked = ("diagnose", path, "--target", "target", "--epochs", 4)
    code, told, _ = run_here(capfd, *asked, "--out", out)
    assert code == 0
    assert "critical: column 'leak' alone explains" in told
    record = json.loads((out / "diagnosis.json").read_text(encoding="utf-8"))
    assert record["findings"][0]["rule"] == "target_leakage"
    assert record["training"]["readings"][0]["step"] == 0
    code, told, _ = run_here(capfd, *asked, "--json")
    assert json.loads(told)["findings"] == record["findings"]
    code, _, error = run_here(capfd, *asked, "--out", out)
    assert code == 2
    assert "holds a campaign already" in error


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        pawl.diagnose(frame(), recipe=tmp_path / "none.toml")
    with pytest.raises(PawlError, match="epochs"):
        pawl.diagnose(frame(), epochs=0)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(LedgerError, match="not empty"):
        pawl.diagnose(frame(), out=tmp_path)


def test_of_a_learner_the_data_is_diagnosed_and_a_budget_cuts_a_training_short() -> None:
    found = pawl.diagnose(faulty(), recipe=pawl.Recipe.of(linear={}, standardize={}))
    assert found.diagnosis.training is None
    assert "target_leakage" in {each.rule for each in found.findings}
    cut = pawl.diagnose(frame(ROWS), epochs=5000, budget=0.5).diagnosis.training
    assert cut is not None
    assert cut.status in ("running", "stopped")
