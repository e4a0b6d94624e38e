"""A campaign goes on with the model, loss and metric that it was started with, or says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaigns import StopAt, StoppedError

from pawl import Recipe, Task, api, compare
from pawl.errors import LedgerError, TaskError
from pawl.ledger import Ledger

MODULE = """
import numpy as np, torch
from torch.nn import functional as F
from pawl import Task
from sizes import WIDTH
x = np.random.default_rng(0).normal(size=(160, 3)).astype("float32")
def loss(out, targets):
    return F.cross_entropy(out, targets)
def metric(targets, predictions):
    return float(((predictions[:, 1] > 0.5) == targets).mean())
task = Task(
    data=(x, (x[:, 0] > 0).astype(int)), loss=loss, metric=metric, direction="maximize",
    model=lambda: torch.nn.Sequential(
        torch.nn.Linear(3, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 2)
    ),
)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sizes.py").write_text("WIDTH = 4\n")
    Path("task.py").write_text(MODULE)
    with pytest.raises(StoppedError):
        api.optimize("task.py", trials=1, epochs=1, out="out", listener=StopAt("test"))
    return tmp_path / "task.py"


def go_on(**given: Any) -> None:
    """Resumes in what counts as a new process: modules beside the task's are imported anew."""
    sys.modules.pop("sizes", None)
    with pytest.raises(StoppedError):
        api.optimize(resume="out", listener=StopAt("test"), **given)


def refused() -> str:
    with pytest.raises(LedgerError) as caught:
        go_on()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def units() -> list[str]:
    with Ledger.open(Path("out")) as ledger:
        return [unit.key for unit in ledger.units()]


def test_changed_code_is_refused_in_one_line_and_accepted_on_purpose(module: Path) -> None:
    go_on()
    done = units()
    assert done
    module.write_text(MODULE.replace("return F", "# plain\n    return F"))
    go_on()  # a comment changes nothing
    with Ledger.open(Path("out")) as ledger:
        assert ledger.accepted == []

    module.write_text(MODULE.replace("cross_entropy(out", "cross_entropy(2 * out"))
    told = refused()
    assert "the task's model, loss, metric are not what the campaign in " in told  # one file
    assert "accept_changes=True" in told
    go_on(accept_changes=True)
    go_on()  # from now on that is what it is
    with Ledger.open(Path("out")) as ledger:
        (change,) = ledger.accepted
    assert "loss" in change["changed"]
    assert units() == done

    Path("sizes.py").write_text("WIDTH = 16\n")
    assert "the task's model" in refused()

    Path("sizes.py").write_text("WIDTH = 4\n")
    sys.modules.pop("sizes")
    (found,) = [f for f in api.optimize(resume="out").summary.findings if "accepted" in f.rule]
    assert "loss" in found.evidence


def test_a_changed_direction_and_a_built_in_metric_are_told(module: Path) -> None:
    module.write_text(MODULE.replace('metric=metric, direction="maximize"', "metric='f1'"))
    assert "metric, direction" in refused()


def test_other_values_in_what_python_gives_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=(160, 3)).astype("float32")
    data = (x, (x[:, 0] > 0).astype(int))

    def task(threshold: float) -> Task:
        def metric(targets: np.ndarray, predictions: np.ndarray) -> float:
            return float(((predictions[:, 1] > threshold) == targets).mean())

        return Task(data=data, metric=metric, direction="maximize")

    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        api.optimize(task(0.5), trials=1, epochs=1, out=out, listener=StopAt("test"))
    with pytest.raises(StoppedError):
        api.optimize(task(0.5), resume=out, listener=StopAt("test"))
    with pytest.raises(LedgerError, match="the task's metric is not what"):
        api.optimize(task(0.6), resume=out)


def test_accepting_is_for_going_on(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"accept_changes= is for going on .* give resume= too"):
        api.optimize("digits", trials=1, out=tmp_path / "out", accept_changes=True)


def test_a_comparison_has_on_record_what_was_compared(module: Path) -> None:
    recipe = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.05})
    compare("task.py", recipe, recipe, out="compared", pairs=5, epochs=1)
    with Ledger.open(Path("compared")) as ledger, Ledger.open(Path("out")) as campaign:
        assert ledger.identity["code"] == campaign.identity["code"]
        assert ledger.identity["recipes"] == [recipe.to_dict()] * 2
    with pytest.raises(LedgerError, match="holds a campaign already"):
        compare("task.py", recipe, recipe, out="compared")
