"""`pawl.explain` on bundles, from rows to files; and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from bundles import bundle_of
from bundles_to_compress import bundle_of as averaged
from problems import frame, images, plain, several
from terminal import run_here

import pawl
from pawl.deployment.bundle import MANIFEST
from pawl.errors import DataError, LedgerError, PawlError
from pawl.explaining import Explained
from pawl.explaining.result import SCHEMA_FILE, Explanation, json_schema
from pawl.recipe import Recipe
from pawl.task import Task

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
HOSTILE = "<script>alert('a')</script>\x1b[31m"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Task(data=frame()), tmp_path_factory.mktemp("table") / "campaign", epochs=30)


@pytest.fixture(scope="module")
def whole(table: Path, rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Explained:
    return pawl.explain(table, rows, out=tmp_path_factory.mktemp("explained") / "out", rows=4)


@pytest.fixture
def pageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the page out, whose charts take most of the time."""
    monkeypatch.setattr("pawl.explaining.page.render", lambda *_: "")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(400)


def test_the_schema_file_is_the_generated_one() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema(), (
        "run: python -m pawl.explaining.result"
    )


def test_a_table_is_explained_in_a_file_and_on_a_page(
    table: Path, rows: pd.DataFrame, whole: Explained
) -> None:
    found, folder = whole, whole.folder
    assert folder is not None
    text = (folder / "explain.json").read_text(encoding="utf-8")
    content = json.loads(text)
    jsonschema.validate(content, json.loads(json_schema()))
    kept = Explanation.model_validate(content)
    assert kept == found.explanation
    assert kept.importance is not None
    assert {each.name for each in kept.importance.features} == {
        "size",
        "age",
        "noise",
        "color",
        "shape",
    }
    assert kept.importance.features[0].name in ("size", "age")
    first, ablation, lime, second, expected = kept.attributions
    assert (first.method, len(first.rows)) == ("exact Shapley values", 4)
    assert (ablation.method, lime.method) == ("feature ablation", "LIME")
    assert ablation.completeness is lime.completeness is None
    assert second.method == "integrated gradients"
    assert expected.method == "expected gradients"
    assert second.features == expected.features == ["size", "age", "noise"]
    assert kept.skipped["trees"] == "the bundle has no trees"
    assert {check.name for check in first.checks} == {
        "completeness",
        "stability",
        "weights",
        "deletion",
    }
    assert {check.name for check in second.checks} == {"completeness"}
    assert second.checks[0].passed
    assert expected.checks[0].passed
    bundle = pawl.Bundle.open(table)
    likely = bundle.predict(rows.head(4))["p_yes"].to_numpy()
    for row, p in zip(first.rows, likely, strict=True):
        assert row.prediction == pytest.approx(p, abs=1e-5)
        assert sum(row.values) == pytest.approx(row.prediction - row.base, abs=0.02)
    assert kept.calibration is not None
    assert kept.slices is not None
    assert kept.errors is not None
    assert [each.name for each in kept.errors.classes] == ["no", "yes"]
    assert {each.name for each in kept.errors.by_class} == {"no", "yes"}
    assert kept.sets is not None
    assert kept.sets.source == "one half of these rows"
    assert [each.what for each in kept.robustness] == ["missing", "noise"]
    for curve in kept.robustness:
        assert curve.metric == "roc_auc"
        assert curve.points[-1].lost > curve.points[1].lost > -0.05
        assert kept.importance.score == pytest.approx(curve.points[0].value)
    page = (folder / "explain.html").read_text(encoding="utf-8")
    assert page == found.html
    for words in (
        "What matters", "Single rows", "Weak slices", "What the explanations are worth",
        "Sets that hold the truth", "ROC AUC against missing cells", "ROC AUC against noise",
        "The worst rows of yes",
    ):  # fmt: skip
        assert words in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert {path.name for path in folder.iterdir()} == {"explain.json", "explain.html"}


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed")
def test_the_page_fits_a_desktop_and_a_phone_and_asks_for_nothing(whole: Explained) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    assert whole.folder is not None
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 800})
            requests: list[str] = []
            messages: list[str] = []
            page.on("request", lambda request, kept=requests: kept.append(request.url))
            page.on("console", lambda message, kept=messages: kept.append(message.text))
            page.goto((whole.folder / "explain.html").as_uri())
            assert len(requests) == 1
            assert messages == []
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0
            drawn = [each for each in page.locator("svg").all() if each.is_visible()]
            assert len(drawn) >= 8
        browser.close()


@pytest.mark.usefixtures("pageless")
def test_the_same_seed_gives_the_same_and_another_one_another(
    table: Path, rows: pd.DataFrame
) -> None:
    first, again, other = (
        pawl.explain(table, rows.head(150), rows=1, seed=seed) for seed in (3, 3, 4)
    )
    assert first.explanation == again.explanation
    assert first.explanation.importance != other.explanation.importance
    assert first.folder is None


def test_a_check_that_fails_stands_in_the_picture_s_place(
    table: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pawl.explaining.worth._COMPLETE", -1.0)
    found = pawl.explain(table, rows, rows=2)
    (check,) = [c for c in found.explanation.attributions[0].checks if c.name == "completeness"]
    assert not check.passed
    assert "Not shown, as a check failed." in found.html
    assert "Row 1:" not in found.html.split("Integrated gradients")[0]


@pytest.mark.usefixtures("pageless")
def test_rows_without_targets_are_explained_and_nothing_is_said_of_errors(
    table: Path, rows: pd.DataFrame
) -> None:
    unknown = rows.assign(target="perhaps")
    gap = rows.assign(target=[None, *rows["target"][1:]])
    for given in (rows.drop(columns="target"), gap, unknown):
        found = pawl.explain(table, given.head(50), rows=2).explanation
        assert found.importance is None
        assert found.calibration is found.slices is found.errors is found.sets is None
        assert found.robustness == []
        assert len(found.attributions[0].rows) == 2
        assert found.dependences
        assert "targets of all rows" in found.skipped["importance"]
        assert "\n" not in found.skipped["importance"]


@pytest.mark.usefixtures("pageless")
def test_one_row_is_explained_beside_others(table: Path, rows: pd.DataFrame) -> None:
    found = pawl.explain(table, rows.tail(1), background=rows).explanation
    (row,) = found.attributions[0].rows
    assert row.prediction == pytest.approx(
        pawl.Bundle.open(table).predict(rows.tail(1))["p_yes"].iloc[0], abs=1e-5
    )
    assert "10 or more are needed" in found.skipped["importance"]


def test_images_are_explained_by_maps(tmp_path: Path) -> None:
    pixels, targets = images()
    folder = tmp_path / "images"
    from PIL import Image

    for row, (image, target) in enumerate(zip(pixels, targets, strict=True)):
        place = folder / f"class {target}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(place / f"{row}.png")
    campaign = bundle_of(Task(data=str(folder)), tmp_path / "campaign", metric="accuracy")
    found = pawl.explain(campaign, folder, rows=3)
    methods = [each.method for each in found.explanation.pictures]
    assert methods == ["occlusion", "integrated gradients", "Grad-CAM"]
    assert found.explanation.pictures[0].pictures[0].file == "class 0/0.png"
    assert "single pixels" in found.explanation.skipped["importance"]
    assert 'src="data:image/png;base64,' in found.html
    assert "img-src data:" in found.html
    assert found.explanation.errors is not None
    assert len(found.explanation.errors.classes) == 3
    assert "pixels" in found.explanation.robustness[0].cells
    for worst in found.explanation.errors.by_class:
        assert all(each.file for each in worst.worst)


def test_images_in_arrays_are_shown_too(tmp_path: Path) -> None:
    pixels, targets = images()
    scaled = pixels.astype(np.float32) / 255
    campaign = bundle_of(Task(data=(scaled, targets)), tmp_path / "campaign", metric="accuracy")
    found = pawl.explain(campaign, (scaled, targets), rows=2, budget=20)
    assert found.explanation.pictures[0].method == "occlusion"
    assert found.explanation.importance is not None
    assert [each.name for each in found.explanation.importance.features] == ["x"]
    assert "one column alone" in found.explanation.skipped["attributions"]
    assert found.html.count("data:image/png") > 4


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize("labels", [False, True])
def test_several_targets(tmp_path: Path, labels: bool) -> None:
    table = several(300, labels=labels)
    names = ["near", "far", "odd"]
    campaign = bundle_of(
        Task(data=table, target=names),
        tmp_path / "campaign",
        "average_precision" if labels else "r2",
    )
    found = pawl.explain(campaign, table, rows=2).explanation
    assert found.importance is not None
    assert found.outputs == names
    assert {each.output for each in found.dependences} == set(names)
    assert found.calibration is not None
    assert found.errors is not None
    assert found.errors.worst
    assert found.errors.by_class == []
    assert (found.sets is None) == labels
    assert found.robustness[0].points[-1].lost_interval[0] > 0


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    table = frame(300).rename(columns={"size": HOSTILE})
    table["target"] = table["target"].replace({"yes": HOSTILE})
    table["color"] = table["color"].replace({"red": HOSTILE})
    campaign = bundle_of(Task(data=table, name=HOSTILE), tmp_path / "campaign")
    found = pawl.explain(campaign, table, rows=2)
    assert "<script" not in found.html
    assert "\x1b" not in found.html
    assert "&lt;script&gt;" in found.html


@pytest.mark.usefixtures("pageless")
def test_rows_of_one_class_and_rows_without_values_are_explained(
    table: Path, rows: pd.DataFrame
) -> None:
    one = rows[rows["target"] == "yes"]
    found = pawl.explain(table, one, rows=1).explanation
    assert "not a number" in found.skipped["importance"]
    assert "not a number" in found.skipped["robustness"]
    assert found.errors is not None
    assert found.sets is not None
    assert [each.name for each in found.sets.classes] == ["yes"]
    empty = rows.assign(size=np.nan, age=np.nan, noise=np.nan, color=None, shape=None).head(60)
    found = pawl.explain(table, empty, background=rows, rows=2).explanation
    assert found.attributions[0].rows[0].shown == ["missing"] * 3 + ["unknown"] * 2
    assert found.importance is not None
    assert all(each.value == 0 for each in found.importance.features)


def test_a_bundle_of_trees_and_a_network_says_what_its_trees_look_at(tmp_path: Path) -> None:
    trees = Recipe.of(lightgbm={"rounds": 30, "leaf_rows": 10})
    bundle = averaged(tmp_path / "campaign", (trees, plain()), epochs=10)
    found = pawl.explain(bundle, frame(400), rows=3)
    (kept,) = found.explanation.trees
    assert kept.units == "log odds"
    assert kept.share == pytest.approx(0.5)
    assert {each.name for each in kept.columns} == {"size", "age", "noise", "color", "shape"}
    assert kept.columns[0].name in ("size", "age")
    assert kept.checks[0].name == "completeness"
    assert kept.checks[0].passed
    assert "What its trees look at" in found.html


@pytest.mark.usefixtures("pageless")
def test_a_short_budget_ends_with_less(table: Path, rows: pd.DataFrame) -> None:
    found = pawl.explain(table, rows, budget=0.001).explanation
    assert found.importance is not None
    assert found.importance.permutations == 2
    assert len(found.attributions[0].rows) == 1
    assert found.skipped["gradients"] == "no time was left"
    assert len({each.feature for each in found.dependences}) == 1


@pytest.mark.usefixtures("pageless")
def test_a_metric_of_ones_own_is_told_and_can_be_given(
    tmp_path: Path, table: Path, rows: pd.DataFrame
) -> None:
    copy = tmp_path / "campaign"
    shutil.copytree(table, copy)
    rename(copy / "bundle", metric="my_metric")
    found = pawl.explain(copy, rows, rows=1).explanation
    assert any("my_metric" in note for note in found.notes)
    given = pawl.explain(
        copy, rows, rows=1, metric=lambda t, p: float((t == p).mean()), direction="maximize"
    ).explanation
    assert given.importance is not None
    assert given.importance.metric == "<lambda>"
    assert "class numbers" in given.notes[0]


def rename(bundle: Path, **changes: object) -> None:
    """Changes a bundle's task, under a digest that fits."""
    from pawl.deployment.bundle import FILES, manifest_of

    task = json.loads((bundle / "task.json").read_text())
    (bundle / "task.json").write_text(json.dumps({**task, **changes}))
    (bundle / MANIFEST).write_bytes(manifest_of({n: (bundle / n).read_bytes() for n in FILES}))


def refused(kind: type[PawlError], *words: str, **given: object) -> None:
    with pytest.raises(kind) as caught:
        pawl.explain(**given)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_bad_input_is_one_line(table: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("")
    refused(LedgerError, "taken", bundle=table, data=rows, out=taken)
    refused(DataError, "no column 'age'", bundle=table, data=rows.drop(columns="age"))
    refused(DataError, "no rows", bundle=table, data=rows.head(0))
    refused(DataError, "3 row(s)", "background=", bundle=table, data=rows.head(3))
    refused(PawlError, "acuracy", "did you mean", bundle=table, data=rows, metric="acuracy")
    refused(PawlError, "direction=", bundle=table, data=rows, direction="maximize")
    refused(PawlError, "rows=0", bundle=table, data=rows, rows=0)
    refused(PawlError, "5x", bundle=table, data=rows, budget="5x")
    refused(PawlError, "no file", bundle=table, data="missing.csv")
    newer = tmp_path / "newer"
    shutil.copytree(table / "bundle", newer)
    manifest = json.loads((newer / MANIFEST).read_text())
    (newer / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    refused(PawlError, "newer version of pawl", bundle=newer, data=rows)


def test_by_the_command_line(
    table: Path, rows: pd.DataFrame, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "rows.csv", tmp_path / "out"
    rows.to_csv(file, index=False)
    code, text, error = run_here(capfd, "explain", table, file, "--out", out, "--rows", 2)
    assert code == 0
    assert "explain: attributions" in error
    assert "loss in roc_auc" in text
    assert str(out / "explain.html") in text.replace("\n", "")
    assert (
        f"pawl explain {table} {file} --rows 2 --out explained"
        in (out / "explain.html").read_text()
    )
    code, text, error = run_here(capfd, "explain", table, file, "--rows", 1, "--json")
    assert json.loads(text)["rows"] == 400
    code, text, error = run_here(capfd, "explain", table, file)
    assert code == 2
    assert error.startswith("pawl: --out is missing")
    code, text, error = run_here(capfd, "explain", table, file, "--out", out)
    assert code == 2
    assert error.count("\n") == 1


@pytest.mark.usefixtures("pageless")
def test_few_rows_leave_out_what_needs_more(table: Path, rows: pd.DataFrame) -> None:
    found = pawl.explain(table, rows.head(30), rows=1).explanation
    assert found.importance is not None
    assert found.skipped["calibration"] == "30 rows are too few; 40 or more are needed"
    assert found.skipped["slices"] == "30 rows are too few; 200 or more are needed"
    assert found.skipped["sets"] == "30 rows are too few; 40 or more are needed"
    assert found.errors is not None


@pytest.mark.usefixtures("pageless")
def test_arrays_have_a_column_for_each_entry(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    campaign = bundle_of(Task(data=(x, y)), tmp_path / "campaign", epochs=30)
    found = pawl.explain(campaign, (x, y), rows=2).explanation
    assert found.importance is not None
    assert found.importance.features[0].name == "x[0]"
    assert len(found.importance.features) == 4
