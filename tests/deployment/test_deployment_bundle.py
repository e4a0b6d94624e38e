"""The bundle: whole or refused, and predictions as people read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from bundles import bundle_of
from problems import frame, plain

from pawl.data import Examples
from pawl.deployment import Bundle, write_predictions
from pawl.deployment.bundle import FILES, MANIFEST, manifest_of
from pawl.errors import BundleError, DataError, DataWarning
from pawl.recipe import Recipe
from pawl.task import Task


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Task(data=frame()), tmp_path_factory.mktemp("table") / "campaign")


@pytest.fixture
def copy(campaign: Path, tmp_path: Path) -> Path:
    """A bundle of one's own, to damage."""
    return Path(shutil.copytree(campaign / "bundle", tmp_path / "copy"))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_bundle_opens_by_its_own_folder_and_by_its_campaigns(campaign: Path) -> None:
    for folder in (campaign, campaign / "bundle", str(campaign)):
        bundle = Bundle.open(folder)
        assert bundle.folder == campaign / "bundle"
        assert bundle.task == {"name": "table", "metric": "roc_auc"}
        assert bundle.schema.classes == ("no", "yes")
    assert {path.name for path in (campaign / "bundle").iterdir()} == {*FILES, MANIFEST}
    assert Recipe.read(campaign / "bundle" / "recipe.toml") == plain()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refused(copy, f"lacks {name}")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_noticed(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    refused(copy, name, "has changed")


def test_a_file_that_was_cut_short_is_noticed(copy: Path) -> None:
    content = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(content[: len(content) // 2])
    refused(copy, "model.onnx", "has changed")


def test_other_folders_are_not_bundles(tmp_path: Path) -> None:
    refused(tmp_path, "is not a bundle")
    refused(tmp_path / "nothing", "is not a bundle")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "is not a bundle")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'{"format": 2}',
        b'{"format": 2, "sha256": null}',
        b'{"format": 2, "sha256": 3}',
        b'{"format": 1e999, "sha256": {}}',
        json.dumps({"format": 3, "sha256": FILES}).encode(),
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_manifest_is_told(copy: Path, content: bytes) -> None:
    (copy / MANIFEST).write_bytes(content)
    refused(copy, MANIFEST, "damaged")


def test_a_manifest_of_another_version_is_told(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"format": 1}))
    refused(copy, "another version")
    more = manifest | {"sha256": manifest["sha256"] | {"../../etc/passwd": "0"}}
    (copy / MANIFEST).write_text(json.dumps(more))
    refused(copy, "another version")


def test_a_bundle_with_a_bad_task_or_graph_is_told_in_one_line(copy: Path) -> None:
    """Digests that fit do not make the content right."""
    good = {name: (copy / name).read_bytes() for name in FILES}

    def changed(**values: object) -> bytes:
        return json.dumps(json.loads(good["task.json"]) | values).encode()

    for name, content in (
        ("task.json", b"{}"),
        ("task.json", b'{"schema": {"source": "table"}}'),
        ("task.json", b"[]"),
        ("task.json", changed(codes=5)),
        ("task.json", changed(codes={"z": 3})),
        ("task.json", changed(compressed=True)),
        ("task.json", changed(shift="0.5")),
        ("task.json", changed(conformal=[1])),
        ("card.md", b"\xff\xfe"),
        ("recipe.toml", b"\xff\xfe"),
        ("measured.json", b"junk"),
        ("measured.json", b"[1]"),
        ("measured.json", b'{"runtime": "openvino"}'),
        ("measured.json", b'{"runtime": {"used": {"level": "all"}}}'),
        ("measured.json", b'{"latency_ms": "x", "cpu_features": 5}'),
        ("model.onnx", b"no graph"),
    ):
        for each, data in (good | {name: content}).items():
            (copy / each).write_bytes(data)
        (copy / MANIFEST).write_bytes(manifest_of(good | {name: content}))
        refused(copy, name)


def test_predictions_have_a_column_for_the_class_and_one_per_probability(campaign: Path) -> None:
    bundle, rows = Bundle.open(campaign), frame().drop(columns="target")
    got = bundle.predict(rows)
    assert list(got.columns) == ["prediction", "p_no", "p_yes"]
    assert len(got) == len(rows)
    np.testing.assert_allclose(got["p_no"] + got["p_yes"], 1, atol=1e-5)
    assert (got["prediction"] == np.where(got["p_yes"] > got["p_no"], "yes", "no")).all()
    assert (got["prediction"] == frame()["target"]).mean() > 0.7
    # In the order of the rows, whatever the order of the columns; other columns do not matter.
    shuffled = rows.sample(frac=1, random_state=1)
    other = bundle.predict(shuffled[shuffled.columns[::-1]].assign(more="x", target="?"))
    expected = got.loc[shuffled.index]
    pd.testing.assert_frame_equal(other, expected, rtol=0, atol=1e-6)


def test_predictions_keep_the_index_of_a_data_frame(campaign: Path) -> None:
    rows = frame(40)
    bundle = Bundle.open(campaign)
    expected = bundle.predict(rows).set_index(rows.index)
    some = rows.sample(frac=0.5, random_state=1)
    for given in (some, (some.drop(columns="target"), some["target"])):
        pd.testing.assert_frame_equal(
            bundle.predict(given).sort_index(), expected.loc[sorted(some.index)]
        )


def test_a_new_category_counts_as_unknown(campaign: Path) -> None:
    bundle, rows = Bundle.open(campaign), frame().drop(columns="target").head(5)
    with pytest.warns(DataWarning, match="5 of 5 cells are no category"):
        new = bundle.predict(rows.assign(color="ultraviolet"))
    missing = bundle.predict(rows.assign(color=None))
    pd.testing.assert_frame_equal(new, missing)
    assert new.notna().all(axis=None)


def test_missing_numbers_are_filled_even_where_training_rows_had_none(campaign: Path) -> None:
    rows = frame().drop(columns="target").head(5)
    got = Bundle.open(campaign).predict(rows.assign(age=np.nan, size=np.nan, noise=np.nan))
    assert got.notna().all(axis=None)


def test_a_missing_column_is_named(campaign: Path) -> None:
    rows = frame().drop(columns=["target", "age"])
    with pytest.raises(DataError, match="age") as caught:
        Bundle.open(campaign).predict(rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predictions_are_written_as_they_are_returned(
    campaign: Path, tmp_path: Path, suffix: str
) -> None:
    bundle = Bundle.open(campaign)
    source, out = tmp_path / "rows.csv", tmp_path / f"out{suffix}"
    frame().to_csv(source, index=False)
    assert write_predictions(bundle, source, out) == len(frame())
    read = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    pd.testing.assert_frame_equal(read, bundle.predict(source), check_dtype=False, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_without_a_prediction_are_written_without_a_class(
    campaign: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, true = Bundle.open(campaign), Bundle.predict_raw

    def lost(self: Bundle, examples: Examples) -> np.ndarray:
        raw = true(self, examples)
        raw[examples.inputs["numeric"][:, 0].numpy() < 0] = np.nan
        return raw

    monkeypatch.setattr(Bundle, "predict_raw", lost)
    source, out = tmp_path / "rows.csv", tmp_path / f"out{suffix}"
    rows = frame(20).sort_values("size")
    rows.to_csv(source, index=False)
    with pytest.warns(DataWarning, match="not finite"):
        write_predictions(bundle, source, out, rows=1)
    read = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert read["prediction"].isna().tolist() == (rows["size"] < 0).tolist()
    assert read["p_yes"].isna().tolist() == (rows["size"] < 0).tolist()


def test_predictions_go_to_csv_or_parquet_only(campaign: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(campaign)
    with pytest.raises(BundleError, match=r"\.csv or \.parquet"):
        write_predictions(bundle, frame(), tmp_path / "out.xlsx")
    for suffix in (".csv", ".parquet"):
        with pytest.raises(BundleError, match="cannot write"):
            write_predictions(bundle, frame(), tmp_path / "no" / "folder" / f"out{suffix}")


def test_a_regression_gives_one_column_in_the_targets_units(tmp_path: Path) -> None:
    rows = frame(regression=True)
    bundle = Bundle.open(bundle_of(Task(data=rows), tmp_path / "campaign"))
    got = bundle.predict(rows.drop(columns="target"))
    assert list(got.columns) == ["prediction"]
    assert np.corrcoef(got["prediction"], rows["target"])[0, 1] > 0.7
    assert abs(got["prediction"].mean() - rows["target"].mean()) < 5


def with_graph(copy: Path, graph: onnx.ModelProto) -> Path:
    """The bundle with another graph, under a digest that fits."""
    (copy / "model.onnx").write_bytes(graph.SerializeToString())
    (copy / MANIFEST).write_bytes(manifest_of({n: (copy / n).read_bytes() for n in FILES}))
    return copy


@pytest.mark.parametrize("where", ["initializer", "attribute"])
def test_a_graph_with_values_in_another_file_is_refused(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(100_000))
    graph = onnx.load(copy / "model.onnx")
    tensor = next(t for t in graph.graph.initializer if len(t.raw_data) > 32)
    if where == "attribute":
        node = onnx.helper.make_node("Constant", [], ["more"], value=tensor)
        graph.graph.node.append(node)
        (tensor,) = (a.t for a in graph.graph.node[-1].attribute)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "secret.bin"), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    refused(with_graph(copy, graph), "model.onnx", "in another file, 'secret.bin'", "nothing of it")


def renamed(graph: onnx.ModelProto, old: str, new: str) -> None:
    for item in (*graph.graph.input, *graph.graph.output):
        item.name = item.name.replace(old, new)
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


@pytest.mark.parametrize("name", ["prediction", "numeric"])
def test_a_graph_with_other_inputs_or_outputs_is_refused(copy: Path, name: str) -> None:
    graph = onnx.load(copy / "model.onnx")
    renamed(graph, name, "other")
    refused(with_graph(copy, graph), "other", "take numeric, categorical and give prediction")


def test_a_graph_that_cannot_take_the_rows_is_told(copy: Path) -> None:
    task = json.loads((copy / "task.json").read_text())
    more = task["schema"]
    more["targets"][0]["classes"] = ["no", "perhaps", "yes"]
    (copy / "task.json").write_text(json.dumps(task))
    bundle = Bundle.open(with_graph(copy, onnx.load(copy / "model.onnx")))
    with pytest.raises(BundleError, match=r"shape \[160, 2\]; \[160, 3\] are needed") as caught:
        bundle.predict(frame())
    assert "\n" not in str(caught.value)
    numeric = next(item for item in more["inputs"] if item["name"] == "numeric")
    last = numeric["features"].pop()
    numeric["missing"].pop()
    numeric["shape"] = [len(numeric["features"])]
    more["columns"] = [column for column in more["columns"] if column["name"] != last]
    (copy / "task.json").write_text(json.dumps(task))
    bundle = Bundle.open(with_graph(copy, onnx.load(copy / "model.onnx")))
    with pytest.raises(BundleError, match="cannot take rows of this schema") as caught:
        bundle.predict(frame())
    assert "\n" not in str(caught.value)
