"""How an explanation differs from another bundle's: known differences, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import bundle_of
from explained import rows_of, subject_of
from problems import frame
from terminal import run_here

import pawl
from pawl.errors import DataError
from pawl.explaining.against import against
from pawl.explaining.effort import Effort
from pawl.explaining.result import Against
from pawl.task import Task
from pawl.training.metrics import make_objective

RMSE = make_objective("rmse", None, "regression")


def compared(first: str, second: str, mine, theirs, *, rows: int = 400, seed: int = 0) -> Against:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 3))
    y = x @ np.array([2.0, 1.0, 0.0]) + 0.5 * generator.normal(size=rows)
    columns = "abc"
    read = [rows_of(x[:, [columns.index(n) for n in names]], y=y) for names in (first, second)]
    return against(
        subject_of(first, mine), read[0], subject_of(second, theirs), read[1], RMSE, "other",
        seed=seed, effort=Effort(),
    )  # fmt: skip


def test_what_one_model_uses_and_the_other_does_not_is_shown() -> None:
    found = compared(
        "abc", "abc", lambda x: 2 * x[:, 0] + x[:, 1], lambda x: 2 * x[:, 0] + 0.5 * x[:, 2]
    )
    changes = {each.name: each for each in found.changes}
    assert changes["b"].moved
    assert changes["b"].difference > 0
    assert changes["b"].other == 0
    assert (changes["a"].rank, changes["a"].other_rank) == (1, 1)
    assert changes["b"].rank == 2
    assert found.score < found.other_score
    assert found.score_difference > 0
    assert found.score_interval[0] > 0
    assert 0.8 < found.same < 1


def test_a_model_does_not_differ_from_itself() -> None:
    found = compared("abc", "abc", lambda x: x[:, 0], lambda x: x[:, 0])
    assert [each.difference for each in found.changes] == [0, 0, 0]
    assert not any(each.moved for each in found.changes)
    assert found.same == pytest.approx(1)
    assert found.agreement == pytest.approx(1)
    assert found.score_difference == 0


def test_intervals_are_as_wide_as_differences_vary() -> None:
    def one(seed: int) -> tuple[float, float]:
        found = compared(
            "abc", "abc", lambda x: 2 * x[:, 0] + x[:, 1], lambda x: 1.5 * x[:, 0] + x[:, 1],
            rows=150, seed=seed,
        )  # fmt: skip
        (change,) = [each for each in found.changes if each.name == "a"]
        return change.difference, (change.interval[1] - change.interval[0]) / 2 / 1.976

    found = np.array([one(seed) for seed in range(40)])
    assert 0.65 < found[:, 1].mean() / found[:, 0].std(ddof=1) < 1.5


def test_columns_that_one_lacks_are_named() -> None:
    found = compared("ab", "ac", lambda x: x[:, 0] + x[:, 1], lambda x: x[:, 0])
    assert [each.name for each in found.changes] == ["a"]
    assert (found.only_here, found.only_there) == (["b"], ["c"])


def test_two_bundles_are_compared_in_a_file_and_on_a_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = Task(data=frame())
    first = bundle_of(task, tmp_path / "first", epochs=20)
    second = bundle_of(task, tmp_path / "second", epochs=1)
    found = pawl.explain(first, frame(200), against=second, rows=2)
    part = found.explanation.against
    assert part is not None
    assert {each.name for each in part.changes} == {
        each.name for each in found.explanation.importance.features
    }
    assert part.score > part.other_score
    assert "What differs from the other bundle" in found.html
    other = frame()
    other["target"] = np.arange(len(other)) * 1.0
    apart = bundle_of(Task(data=other), tmp_path / "apart", epochs=1, metric="rmse")
    with pytest.raises(DataError, match="predict different things"):
        pawl.explain(first, frame(200), against=apart)
    table = tmp_path / "rows.csv"
    frame(60).to_csv(table, index=False)
    code, shown, _ = run_here(
        capfd, "explain", first, table, "--against", second, "--rows", 1, "--out", tmp_path / "o"
    )
    assert code == 0
    assert "better by" in shown
    blind = pawl.explain(first, frame(60).drop(columns="target"), against=second, rows=1)
    assert "needs the targets" in blind.explanation.skipped["against"]
