"""Exports: what others load predicts the same, and what cannot be exported says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from bundles import bundle_of
from bundles_to_compress import bundle_of as averaged
from onnx import numpy_helper
from problems import plain
from terminal import run_here as run

import pawl
from pawl import Task
from pawl.deployment import Bundle
from pawl.deployment.raw_graphs import raw_feed, raw_graph
from pawl.errors import BundleError, LedgerError
from pawl.options import ReadOptions
from pawl.recipe import Recipe


def table(rows: int = 300) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    size, color = generator.normal(size=rows), generator.choice(["red", "green", "blue"], rows)
    weight = np.where(generator.random(rows) < 0.1, np.nan, generator.normal(size=rows))
    day = pd.Timestamp("2026-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), "D")
    target = np.where(size + (color == "red") + generator.normal(size=rows) / 3 > 0.4, "yes", "no")
    columns = {"size of it": size, "weight": weight, "color": color, "day": day, "target": target}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a table with numbers, gaps, categories and dates."""
    return bundle_of(Task(data=table()), tmp_path_factory.mktemp("mixed") / "c", epochs=3)


def test_onnx_takes_columns_and_says_labels(mixed: Path, tmp_path: Path) -> None:
    rows = table(50)
    found = pawl.export(mixed, "onnx", tmp_path / "out", rows=rows)
    assert found.rows == 16 + 50
    running = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert {each.name: each.type for each in running.get_inputs()} == {
        "size of it": "tensor(float)", "weight": "tensor(float)", "color": "tensor(string)",
        "day:days": "tensor(float)", "day:month": "tensor(float)", "day:weekday": "tensor(float)",
    }  # fmt: skip
    feed = {name: rows[name].to_numpy(np.float32) for name in ("size of it", "weight")}
    feed["color"] = rows["color"].to_numpy(object)
    feed["day:days"] = (rows["day"] - pd.Timestamp(0)).dt.days.to_numpy(np.float32)
    feed["day:month"] = rows["day"].dt.month.to_numpy(np.float32)
    feed["day:weekday"] = rows["day"].dt.day_of_week.to_numpy(np.float32)
    label, probabilities = running.run(["label", "probabilities"], feed)
    expected = pawl.Bundle.open(mixed).predict(rows)
    assert list(label) == list(expected["prediction"])
    np.testing.assert_allclose(probabilities, expected[["p_no", "p_yes"]], atol=1e-5)
    # A category that no row had counts as unknown, as it does for the bundle.
    feed["color"][:] = "violet"
    unknown = pawl.Bundle.open(mixed).predict(rows.assign(color=None))
    np.testing.assert_allclose(
        running.run(["probabilities"], feed)[0][:, 1], unknown["p_yes"], atol=1e-5
    )
    card = (tmp_path / "out" / "card.md").read_text()
    assert "`color`: text `[rows]`, one of 3 known to it" in card
    assert "Loaded again it predicts 66 rows" in card


def test_a_shift_is_in_labels_and_not_in_probabilities(tmp_path: Path) -> None:
    bundle = averaged(tmp_path / "c", shift=1.5, epochs=2)
    pawl.export(bundle, "onnx", tmp_path / "out")
    running = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    rows = bundle.read(table_of(bundle))
    label, probabilities = running.run(None, dict(raw_feed(bundle.schema, rows)))
    expected = bundle.predict(table_of(bundle))
    assert list(label) == list(expected["prediction"])
    np.testing.assert_allclose(probabilities[:, 1], expected["p_yes"], atol=1e-5)
    assert (label == "yes").mean() > (probabilities[:, 1] > 0.5).mean()


def table_of(bundle: Bundle) -> pd.DataFrame:
    from bundles_to_compress import rows

    return rows(200, 1)


@pytest.mark.parametrize(
    ("columns", "outputs"),
    [
        (("label", "probabilities"), ["label_", "probabilities_"]),
        (("value", "label_"), ["label", "probabilities"]),
        (("label", "label_"), ["label__", "probabilities"]),
    ],
)
def test_columns_keep_their_names_where_outputs_are_called_so(
    tmp_path: Path, columns: tuple[str, ...], outputs: list[str]
) -> None:
    rows = table()[["size of it", "color", "target"]].set_axis([*columns, "target"], axis=1)
    campaign = bundle_of(Task(data=rows, target="target"), tmp_path / "c", epochs=1)
    pawl.export(campaign, "onnx", tmp_path / "out", rows=rows)
    running = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert {each.name for each in running.get_inputs()} == set(columns)
    feed = {
        columns[0]: rows[columns[0]].to_numpy(np.float32),
        columns[1]: rows[columns[1]].to_numpy(),
    }
    label, probabilities = running.run(outputs, feed)
    expected = Bundle.open(campaign).predict(rows)
    assert list(label) == list(expected["prediction"])
    np.testing.assert_allclose(probabilities, expected[["p_no", "p_yes"]], atol=1e-5)
    card = (tmp_path / "out" / "card.md").read_text()
    assert f"returns `{outputs[0]}` and `{outputs[1]}`" in card


@pytest.mark.filterwarnings("ignore::pawl.errors.DataWarning")  # the first rows see few
def test_a_series_takes_windows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"t": np.arange(200), "window": random.normal(size=200)})
    rows["value"] = random.normal(size=200)
    task = Task(data=rows, target="value", read=ReadOptions(time=("t",), window=3))
    campaign = bundle_of(task, tmp_path / "c", "rmse", epochs=1)
    pawl.export(campaign, "onnx", tmp_path / "out", rows=rows)
    running = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert {each.name: each.shape for each in running.get_inputs()} == {
        "t": ["rows"], "window": ["rows"], "window_": ["rows", 3, 2],
    }  # fmt: skip
    bundle = Bundle.open(campaign)
    feed = {name: rows[name].to_numpy(np.float32) for name in ("t", "window")}
    feed["window_"] = bundle.read(rows).inputs["window"].numpy()
    (value,) = running.run(None, feed)
    np.testing.assert_allclose(value, bundle.predict(rows)["prediction"], atol=1e-5)
    card = (tmp_path / "out" / "card.md").read_text()
    assert (
        "`window_`: float32 `[rows, 3, 2]`: of each row before it, the oldest first, window, value"
        in card
    )


def test_torch_export_is_a_program_for_any_number_of_rows(mixed: Path, tmp_path: Path) -> None:
    pawl.export(mixed, "torch-export", tmp_path / "out", rows=table(40))
    extra = {"pawl.json": ""}
    program = torch.export.load(tmp_path / "out" / "model.pt2", extra_files=extra)
    bundle = Bundle.open(mixed)
    assert json.loads(extra["pawl.json"])["schema"]["source"] == "table"
    for count in (1, 33):
        rows = bundle.read(table(count))
        inputs = [rows.inputs[spec.name] for spec in bundle.schema.inputs]
        with torch.no_grad():
            numbers, probabilities = program.module()(*inputs)
        np.testing.assert_allclose(probabilities, bundle.predict_raw(rows), atol=1e-4)
        assert numbers.tolist() == probabilities.argmax(-1).tolist()


def test_safetensors_become_a_module_again(mixed: Path, tmp_path: Path) -> None:
    pawl.export(mixed, "safetensors", tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "model.safetensors", "recipe.toml", "task.json", "card.md",
    }  # fmt: skip
    module, bundle = pawl.load_safetensors(tmp_path / "out"), Bundle.open(mixed)
    rows = bundle.read(table(20))
    with torch.no_grad():
        got = module(*(rows.inputs[spec.name] for spec in bundle.schema.inputs))
    np.testing.assert_allclose(got, bundle.predict_raw(rows), atol=1e-4)
    with pytest.raises(BundleError, match="holds no export as safetensors"):
        pawl.load_safetensors(tmp_path)


def test_values_and_labels_of_several_targets(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(200, 3)).astype(np.float32)
    values = averaged(tmp_path / "v", regression=True, epochs=2)
    pawl.export(values, "onnx", tmp_path / "values")
    running = onnxruntime.InferenceSession(tmp_path / "values" / "model.onnx")
    assert [each.name for each in running.get_outputs()] == ["value"]
    both = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    both["wet"], both["cold"] = (np.where(x[:, at] > 0, "yes", "no") for at in (0, 1))
    task = Task(data=both, target=("wet", "cold"))
    campaign = bundle_of(task, tmp_path / "several", epochs=2)
    pawl.export(campaign, "onnx", tmp_path / "labels", rows=both)
    running = onnxruntime.InferenceSession(tmp_path / "labels" / "model.onnx")
    feed = {name: both[name].to_numpy(np.float32) for name in "ab"}
    expected = Bundle.open(campaign).predict(both)
    assert (running.run(["label"], feed)[0] == expected[["wet", "cold"]].to_numpy()).all()


def test_an_exporter_that_changes_outputs_by_one_percent_is_caught(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pawl.deployment import exporting

    def careless(*given: object) -> bytes:
        model = onnx.load_from_string(raw_graph(*given))  # type: ignore[arg-type]
        for each in model.graph.initializer:
            values = numpy_helper.to_array(each)
            if each.name.startswith("inner.") and values.dtype == np.float32 and values.ndim == 2:
                each.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), each.name))
        return model.SerializeToString()

    monkeypatch.setattr(exporting, "raw_graph", careless)
    with pytest.raises(
        BundleError, match=r"(graph predicts otherwise|labels are others) than the bundle"
    ):
        pawl.export(mixed, "onnx", tmp_path / "out", rows=table(50))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_says_so(
    mixed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trees = averaged(tmp_path / "c", (Recipe.of(lightgbm={"rounds": 10}), plain()), epochs=1)
    with pytest.raises(BundleError, match=r"trees, for which torch\.export has no operation"):
        pawl.export(trees, "torch-export", tmp_path / "out")
    pawl.export(trees, "onnx", tmp_path / "trees")
    code, text, error = run(capfd, "export", mixed, "--to", "onx", "--out", tmp_path / "x")
    assert (code, text) == (2, "")
    assert "got --to onx (did you mean 'onnx'?); allowed are onnx, torch-export" in error
    with pytest.raises(LedgerError, match="is not empty"):
        pawl.export(mixed, "onnx", tmp_path / "trees")
    code, text, _ = run(capfd, "export", mixed, "--to", "onnx", "--out", tmp_path / "y")
    assert code == 0
    assert "model.onnx, card.md in" in text
