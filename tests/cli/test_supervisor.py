"""What the user's code may do to a process: hang, end it, crash it, fork it, change its directory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from problems import problem
from terminal import start

import pawl
from pawl import api, budget
from pawl.errors import BudgetError
from pawl.execution import Session
from pawl.execution.executors import Processes
from pawl.ledger import Ledger, new_folder
from pawl.recipe import Recipe

SOON = "import pawl.budget as b; b._LEAST_GRACE = 1.0"
HERE = "import itertools, os, pathlib, signal, sys\npathlib.Path('here').touch()\n"
TASK = """
import numpy as np
from pawl import Task
x = np.random.default_rng(0).normal(size=(120, 3)).astype("float32")
task = Task(data=(x, (x[:, 0] > 0).astype(int)))
"""
PLAIN = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.05})


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def last_line(
    text: str, *arguments: object, first: str = "", command: str = "optimize"
) -> tuple[int, str]:
    """Runs a campaign of a module with this text; returns its exit code and the only line of its own."""
    Path("module.py").write_text(HERE + text)
    process = start(command, "module.py", *arguments, first=first)
    out, error = process.communicate(timeout=300)
    assert Path("here").exists()
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("pawl: ")]
    assert (out, len(lines)) == ("", 1), error
    return process.returncode, lines[0]


def check_gone_on_with(command: str, line: str) -> None:
    """Holds that the campaign in `out` can be gone on with as the line says."""
    assert line.endswith(
        f"what was finished is kept, go on with pawl {command} --resume {Path.cwd()}/out"
    )
    process = start(command, "--resume", "out")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert Path("out/summary.json").is_file()


@pytest.mark.parametrize(
    "hang",
    [
        "while True: pass",
        "sum(itertools.repeat(0))",  # in C, where nothing else of the process may run
        "for n in range(1, 32): signal.signal(n, signal.SIG_IGN) if n not in (9, 19) else None\n"
        "while True: pass",
    ],
    ids=["Python", "C", "signals ignored"],
)
def test_a_module_that_never_returns_is_ended_soon_after_the_budget(hang: str) -> None:
    code, line = last_line(hang, "--budget", "2s", "--out", "out", first=SOON)
    assert code == 3
    assert line.startswith("pawl: still at work 1s after its budget of 2s, so it was ended")


def test_a_campaign_that_hangs_can_be_gone_on_with() -> None:
    """The metric hangs where the ledger is there; the module that is gone on with is as it was."""
    hang = f"{TASK}def metric(targets, predictions):\n"
    hang += "    while pathlib.Path('out').exists() and pathlib.Path('hang').exists(): pass\n"
    hang += "    return float(((predictions[:, 1] > 0.5) == targets).mean())\n"
    hang += "task = Task(data=task.data, metric=metric, direction='maximize')\n"
    Path("hang").touch()
    # With a number of trials nothing is timed, so the limit is told by hand.
    told = "import pawl.api as a; a.limits = lambda *_: (5.0, 5.0)"
    code, line = last_line(hang, "--trials", 1, "--out", "out", first=told)
    assert code == 3
    Path("hang").unlink()
    check_gone_on_with("optimize", line)


def test_a_function_that_ends_the_process_can_be_gone_on_with() -> None:
    text = "import pawl\n"
    text += "def train(settings, seed):\n"
    text += "    if settings['x'] > 0.5 and pathlib.Path('end').exists(): os._exit(7)\n"
    text += "    return settings['x'] + seed % 7\n"
    text += (
        "task = pawl.FunctionTask(train=train, settings={'x': (0.0, 1.0)}, baseline={'x': 0.1})\n"
    )
    Path("end").touch()
    code, line = last_line(
        text, "--trials", 12, "--executor", "inline", "--out", "out", command="tune"
    )
    assert code == 2
    Path("end").unlink()
    check_gone_on_with("tune", line)


def test_a_worker_that_hangs_is_ended_with_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_LEAST_GRACE", 0.5)

    def hang(_: object) -> None:
        Path("worker").write_text(str(os.getpid()))
        while True:
            time.sleep(60)

    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=1.0)
        ledger.charge(1.0)
        with pytest.raises(BudgetError, match=r"budget of 1s.*pawl\.optimize\(resume='.*out'\)"):
            Processes(2).run([hang], session.heartbeat)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("worker").read_text()), 0)


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("os._exit(0)", 2, "ended with exit code 0 before it was done, as by os._exit"),
        ("os._exit(7)", 2, "ended with exit code 7 before it was done, as by os._exit"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "ended by SIGKILL, as when memory runs out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139, "ended by SIGSEGV"),
        ("sys.exit(3)", 2, "SystemExit: 3"),
    ],
)
def test_a_module_that_ends_the_process_is_told(end: str, code: int, words: str) -> None:
    got, line = last_line(end, "--trials", 1, "--out", "out")
    assert got == code
    assert words in line


@pytest.mark.parametrize(
    "text",
    [
        "os.fork()\nimport pawl\ntask = pawl.Task(data='nowhere.csv')\n",
        "import pawl\ndef task():\n    os.fork()\n    return pawl.Task(data='nowhere.csv')\n",
        "if not os.fork(): raise ValueError('in a copy')\nraise ValueError('in the process')\n",
        f"{TASK}import torch\ndef model():\n    os.fork()\n    raise ValueError('no model')\n"
        "task = Task(data=task.data, model=model)\n",
    ],
    ids=["module", "function", "raises", "model"],
)
def test_a_module_that_forks_runs_one_campaign(text: str) -> None:
    code, _ = last_line(text, "--trials", 1, "--out", "out")
    assert code == 2


def test_ctrl_c_again_and_again_ends_with_130() -> None:
    Path("module.py").write_text(f"{HERE}import time\nwhile True: time.sleep(60)\n")
    process = start("optimize", "module.py", "--trials", 1, "--out", "out", real=True)
    while process.poll() is None and not Path("here").exists():
        time.sleep(0.01)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "pawl: interrupted"
    assert "Traceback" not in error


def test_a_module_that_changes_directory_leaves_results_where_they_were_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    (tmp_path / "away").mkdir()
    Path("module.py").write_text(f"import os\nos.chdir({str(tmp_path / 'away')!r})\n{TASK}")
    rows = np.random.default_rng(1).normal(size=(40, 3)).astype("float32")
    result = pawl.train("module.py", PLAIN, out="out")
    assert (tmp_path / "out/train.json").is_file()
    assert result.folder == tmp_path / "out"
    assert not list((tmp_path / "away").iterdir())
    assert len(pawl.Bundle.open(result.folder / "bundle").predict(rows)) == 40


class StoppedError(Exception):
    pass


class StopAtSearch:
    def phase(self, name: str, detail: str) -> None:
        if name == "search":
            raise StoppedError

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        pass


def test_a_campaign_is_resumed_from_a_relative_folder_by_a_module_that_changes_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "away").mkdir()
    Path("module.py").write_text(f"import os\nos.chdir({str(tmp_path / 'away')!r})\n{TASK}")
    with pytest.raises(StoppedError):
        api.optimize("module.py", trials=1, listener=StopAtSearch())
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "ledger.sqlite").is_file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoppedError):
        api.optimize(resume=folder.relative_to(tmp_path), listener=StopAtSearch())
    assert not list((tmp_path / "away").iterdir())


def test_campaigns_of_one_second_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20261124-120000")
    with new_folder("some/table.csv") as first, new_folder("table.csv") as second:
        (first / "ledger").touch()
        assert first.name == "table-20261124-120000"
        assert second.name == "table-20261124-120000-2"
        assert second.parent == first.parent == Path("runs").absolute()
    assert first.is_dir()
    assert not second.exists()  # nothing came of it


LATE = """
import os, time
fork = os.fork
def late():
    child = fork()
    if child:
        time.sleep(3)
    return child
os.fork = late
"""


def test_a_child_that_ends_before_its_parent_goes_on_is_seen() -> None:
    """On a busy machine the parent may not be back from the fork by then."""
    process = start("--version", first=LATE)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert out
