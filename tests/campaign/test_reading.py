"""The options of reading through a whole campaign: told, kept for a repeat, used at prediction."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pawl
from pawl import Recipe
from pawl.cli import show
from pawl.errors import LedgerError

OPTIONS = {"separator": ";", "decimal": ",", "ignore": ["id"], "types": {"zip code": "categorical"},
           "positive": "no"}  # fmt: skip
RECIPE = Recipe.of(standardize={}, batch_size={"size": 32}, adamw={"learning_rate": 0.01})


class Heard:
    """A listener that remembers the phases."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, str]] = []

    def phase(self, name: str, detail: str) -> None:
        self.phases.append((name, detail))

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        pass


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file as a spreadsheet in half of Europe writes it."""
    generator = np.random.default_rng(0)
    size = generator.normal(10, 3, 120).round(2)
    frame = pd.DataFrame(
        {
            "id": [f"row {row}" for row in range(120)],
            "size": [str(value).replace(".", ",") for value in size],
            "day": [f"{1 + row % 28:02}.{1 + row % 12:02}.2024" for row in range(120)],
            "zip code": generator.choice([1067, 20095, 80331], 120),
            "remark": [f"remark {row}" for row in range(120)],
            "bought": np.where(size + generator.normal(0, 1, 120) > 10, "yes", "no"),
        }
    )
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False, sep=";")
    return path


def test_they_are_told_kept_and_used(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard, out = Heard(), tmp_path / "out"
    start = tmp_path / "start.toml"
    start.write_text(RECIPE.to_toml())
    given = {"trials": 2, "epochs": 2, "baseline": start, "only": ["dropout"], "average": 1}
    done = pawl.optimize(str(rows), out=out, listener=heard, **given, **OPTIONS)  # type: ignore[arg-type]
    task = done.summary.task
    assert task.classes == ["yes", "no"]
    assert task.left_out == ["id", "remark"]
    headline = "binary classification of 'bought', 120 rows, 3 column(s), left out: 'id', 'remark'"
    assert ("task", headline) in heard.phases[:2]
    assert "Left out of the data: &#39;id&#39;, &#39;remark&#39;." in done.report.read_text()
    show.campaign(done)
    closing = " ".join(capsys.readouterr().out.split())
    assert "task binary of 'bought', 120 rows" in closing
    assert "note column 'id' was left out: it is to be ignored" in closing
    assert "note column 'remark' was left out: 96 distinct texts" in closing
    # The command that repeats it holds them.
    words = shlex.split(done.summary.command)
    assert words[words.index("--separator") : ] == [
        "--separator", ";", "--decimal", ",", "--ignore", "id", "--types",
        "zip code=categorical", "--positive", "no",
    ]  # fmt: skip
    # Prediction reads rows as they were read.
    found = done.predict(rows)
    assert list(found.columns) == ["prediction", "p_yes", "p_no"]
    typed = pd.read_csv(rows, sep=";", decimal=",")
    pd.testing.assert_frame_equal(done.predict(typed), found)
    # It goes on with the same, and with nothing else.
    (out / "summary.json").unlink()
    with pytest.raises(LedgerError, match="was started with the decimal ',', and got"):
        pawl.optimize(str(rows), resume=out, decimal=".")
    again = pawl.optimize(resume=out, **OPTIONS)  # type: ignore[arg-type]
    assert again.summary.task == task
    assert again.summary.gain == done.summary.gain


def test_one_recipe_and_two_take_them_too(rows: Path, tmp_path: Path) -> None:
    heard = Heard()
    trained = pawl.train(
        str(rows),
        RECIPE,
        out=tmp_path / "train",
        listener=heard,
        **OPTIONS,  # type: ignore[arg-type]
    )
    assert any(name == "task" and "left out: 'id'" in detail for name, detail in heard.phases)
    assert any("'id' was left out" in note for note in trained.notes)
    compared = pawl.compare(
        str(rows), RECIPE, RECIPE.with_("dropout"), out=tmp_path / "compare", pairs=5, epochs=1,
        **OPTIONS,
    )  # type: ignore[arg-type]  # fmt: skip
    assert any("'remark' was left out" in note for note in compared.notes)


def test_whole_numbers_are_classes_where_the_metric_is_of_classes(tmp_path: Path) -> None:
    """A table whose target is 1, 2, 3, 5, 6, 7 is refused with accuracy no longer."""
    generator = np.random.default_rng(0)
    target = generator.choice([1, 2, 3, 5, 6, 7], 150)
    frame = pd.DataFrame({"a": target + generator.normal(size=150), "type": target})
    done = pawl.train(frame, RECIPE, out=tmp_path / "out", metric="accuracy")
    assert done.metric == "accuracy"
    assert set(pawl.Bundle.open(tmp_path / "out").predict(frame)["prediction"]) <= set("123567")
