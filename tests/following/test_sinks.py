"""Copies of trials that others read, and sinks that fail: nothing of a campaign may depend on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from served import ledger, trial

import pawl
from pawl.errors import TaskError, command_line_words
from pawl.following.copying import Copy
from pawl.following.tensorboard import TensorBoard
from pawl.options import sink_of
from pawl.serving.reading import Campaign

EVIL = '../../up"><script>alert(1)</script>'
LAYERS = {
    "names": ["first.weight"], "steps": [10, 20], "norms": [[2.0], [2.5]],
    "gradients": [[0.5], [0.25]], "moved": [[0.01], [None]],
}  # fmt: skip


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Reads event files by TensorBoard itself."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(each.step, each.value) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    } | {f"text:{tag}": found.Tensors(tag) for tag in found.Tags()["tensors"]}


@pytest.mark.filterwarnings("ignore")  # TensorBoard's own
def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    with ledger(tmp_path / "campaign", 3, name=EVIL) as made:
        record = trial(7, points=5, layers=LAYERS)
        made.record("more", "search", {}, [record], 1.0)
        campaign, x, y = Campaign(tmp_path / "campaign", "0", ""), tmp_path / "x", tmp_path / "y"
        copying = Copy(campaign, TensorBoard(x), "tensorboard:x")
        copying.look()
        copying.look()  # nothing is written twice
        Copy(campaign, TensorBoard(y), "tensorboard:x").look()  # gone on with
        assert not list(y.iterdir())
    (folder,) = x.iterdir()  # whatever the campaign's name is, within what was given
    runs = sorted(folder.iterdir())
    assert [each.name for each in runs] == [f"search-{n:05d}" for n in (1, 2, 3, 4)]
    read = scalars(runs[-1])
    expected = [(int(step), pytest.approx(loss, rel=1e-6)) for step, loss, _ in record.curve]
    assert read["train_loss"] == expected
    assert read["valid_score"][0][1] == pytest.approx(record.curve[0][2], rel=1e-6)
    assert read["gradients/first.weight"] == [(10, 0.5), (20, 0.25)]
    assert len(read["moved/first.weight"]) == 1
    assert read["final/validation"] == [(record.steps, pytest.approx(record.score, rel=1e-6))]
    assert any(name.startswith("text:recipe") for name in read)


def copied(*arguments: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "pawl.following.copying", *arguments, str(os.getpid())],
        input="", capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_server_that_does_not_answer_and_a_folder_that_cannot_be_are_told(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    ledger(tmp_path / "campaign", 2).close()
    (tmp_path / "file").write_text("no folder")
    for kind, where in (("mlflow", "http://127.0.0.1:9"), ("tensorboard", f"{tmp_path}/file/x")):
        done = copied(kind, where, str(tmp_path / "campaign"))
        assert done.returncode == 1
        (line,) = done.stdout.strip().splitlines()
        assert "Error" in line or "Exception" in line


class Told:
    def __init__(self) -> None:
        self.phases: list[tuple[str, str]] = []

    def phase(self, name: str, detail: str) -> None:
        self.phases.append((name, detail))

    def progress(self, **_: Any) -> None:
        pass


def test_failing_sinks_change_nothing_of_a_campaign(tmp_path: Path) -> None:
    """One writes, one has a file in place of its folder; the campaign is the same as without."""

    def parabola(settings: dict[str, Any], seed: int) -> float:
        return -((settings["x"] - 2.0) ** 2) + 0.01 * (seed % 7)

    task = pawl.FunctionTask(train=parabola, settings={"x": (0.0, 5.0)}, baseline={"x": 0.5})
    (tmp_path / "file").write_text("no folder")
    told, digests = Told(), []
    for number, log in enumerate(
        [None, [f"tensorboard:{tmp_path}/tb", f"tensorboard:{tmp_path}/file/x"]]
    ):
        found = pawl.tune(
            task, trials=6, out=tmp_path / str(number), log=log, listener=told, executor="inline"
        )
        digests.append((found.settings, found.summary.statement))
    assert digests[0] == digests[1]
    assert list((tmp_path / "tb").rglob("events.out.tfevents.*"))
    (line,) = [detail for name, detail in told.phases if name == "log"]
    assert "file/x" in line
    assert "not all was logged: " in line


@pytest.mark.parametrize("log", ["tensorboard", "tensorboard:", "wandb:x", ""])
def test_what_is_no_sink_is_told(log: str) -> None:
    with command_line_words(), pytest.raises(TaskError, match="give tensorboard:DIR"):
        sink_of(log)
