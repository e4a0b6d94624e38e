"""The command line: exit codes, one clear line for wrong input, interrupts, JSON."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from problems import frame
from rich.console import Console
from terminal import pawl, run_here, start

from pawl.progress import TerminalProgress
from pawl.search import baseline
from pawl.techniques import techniques

COMMANDS = (
    "optimize",
    "train",
    "compare",
    "predict",
    "explain",
    "diagnose",
    "report",
    "techniques",
    "doctor",
)
PHASE = r"^ +\d+:\d\d  [a-z ]+: "


def told(ran: subprocess.CompletedProcess[str], code: int) -> str:
    """Holds that a command ended with a code and one line on why; returns the line."""
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    lines = [line for line in ran.stderr.splitlines() if not re.match(PHASE, line)]
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("pawl: ")
    assert ran.stdout == ""
    return lines[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "table.csv"
    frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from problems import problem

    path = tmp_path_factory.mktemp("recipes") / "plain.toml"
    path.write_text(baseline(problem("table").facts()).to_toml())
    return path


@pytest.fixture(scope="module")
def trained(data: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `pawl train` left."""
    out = tmp_path_factory.mktemp("train") / "out"
    ran = pawl("train", data, "--recipe", recipe, "--out", out, "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["metric"] == "roc_auc"
    assert result["interval"][0] <= result["value"] <= result["interval"][1]
    assert result == json.loads((out / "train.json").read_text())
    return out


def test_help_needs_no_torch_and_lists_every_command() -> None:
    """All in one process: what any of them imports stays imported."""
    code = (
        "import sys\n"
        "from pawl.cli.commands import app\n"
        f"for command in {[(), *[(c,) for c in COMMANDS]]!r}:\n"
        "    for flag in ('--help', '-h'):\n"
        "        app([*command, flag], standalone_mode=False)\n"
        "heavy = {'torch', 'pandas', 'numpy', 'optuna', 'onnxruntime', 'sklearn', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for command in COMMANDS:
        assert f"pawl {command}" in ran.stdout or f"{command} [OPTIONS]" in ran.stdout
        assert f" {command} " in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_the_main_job_waits_for_no_package_before_it_is_used() -> None:
    """What one technique, one sampler or the report alone needs is imported there."""
    code = (
        "import sys\n"
        "import pawl.api\n"
        "from pawl.search import samplers\n"
        "from pawl.techniques import techniques\n"
        "assert techniques() and samplers()\n"
        "late = {'sklearn', 'scipy.stats', 'scipy.optimize', 'cmaes', 'lightgbm', 'catboost',\n"
        "        'altair', 'jinja2', 'onnxscript', 'torch._dynamo', 'kornia'}\n"
        "assert not late & set(sys.modules), late & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_a_stranger_asks_first(capfd: pytest.CaptureFixture[str]) -> None:
    """The version; help that shows no value for flags, and defaults in words."""
    assert run_here(capfd, "--version") == (0, f"pawl {importlib.metadata.version('pawl')}\n", "")
    code, text, _ = run_here(capfd, "--help")
    said = " ".join(text.split())
    assert code == 0
    assert "tell what is better from what is shown to be" in said
    assert "--version Show the version" in said
    code, text, _ = run_here(capfd, "optimize", "-h")
    said = " ".join(text.replace("│", " ").split())
    assert code == 0
    assert "--json Print the result" in said
    assert "Decides splits, seeds and samples. By default 0." in said


@pytest.mark.parametrize("command", [(), ("optimize",)])
def test_help_by_the_real_command_exits_with_zero(command: tuple[str, ...]) -> None:
    ran = pawl(*command, "--help", real=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "pawl" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("optimize",), ("no data given", "CSV")),
        (("optimize", "DATA", "--budget", "5x"), ("'5x'", "90s")),
        (("optimize", "DATA", "--budget", "0s"), ("above zero",)),
        (("optimize", "DATA", "--encoding", "utf-16"), ("UTF-16", "option encoding")),
        (("optimize", "DATA", "--budget", "1m", "--trials", "3"), ("one of them",)),
        (("optimize", "DATA", "--trials", "0"), ("--trials 0", "1 or more")),
        (("optimize", "missing.csv"), ("no file", "missing.csv")),
        (("optimize", "DATA", "--target", "targt"), ("targt", "did you mean 'target'")),
        (("optimize", "DATA", "--metric", "auc_roc"), ("auc_roc", "roc_auc")),
        (("optimize", "DATA", "--metric", "rmse"), ("rmse", "accuracy")),
        (("optimize", "DATA", "--kind", "binry"), ("binry", "binary")),
        (("optimize", "DATA", "--device", "cpuu"), ("--device cpuu", "'auto', 'cpu' or 'cuda'")),
        (("optimize", "--resume", "missing"), ("missing", "no campaign")),
        (("optimize", "--resume", "TRAINED"), ("pawl train", "pawl optimize")),
        (("report", "missing"), ("missing", "no finished campaign", "--out named")),
        (
            ("report", "TRAINED"),
            ("no finished campaign", "it is a training's, whose result is in train.json"),
        ),
        (("techniques", "dropot"), ("dropot", "did you mean 'dropout'")),
        (("techniques", "--stage", "los"), ("los", "did you mean 'loss'")),
        (("predict", "missing", "DATA", "--out", "x.csv"), ("not a bundle",)),
        (("predict", "TRAINED", "LACKING", "--out", "x.csv"), ("color",)),
        (("predict", "TRAINED", "missing.csv", "--out", "x.csv"), ("missing.csv",)),
        (("predict", "TRAINED", "DATA", "--out", "x.xlsx"), (".csv or .parquet",)),
        (("train", "DATA", "--recipe", "missing.toml", "--out", "OUT"), ("missing.toml",)),
        (("train", "DATA", "--recipe", "UNKNOWN", "--out", "OUT"), ("did you mean 'dropout'",)),
        (("train", "DATA", "--recipe", "BROKEN", "--out", "OUT"), ("not TOML",)),
        (("train", "DATA", "--recipe", "UNFIT", "--out", "OUT"), ("flip", "does not fit")),
        (("train", "DATA", "--recipe", "RECIPE", "--out", "TRAINED"), ("another --out",)),
    ],
)
def test_wrong_input_is_one_line_and_two(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    data: Path,
    recipe: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process: a process each would take minutes for their imports."""
    monkeypatch.chdir(tmp_path)
    pd.read_csv(data).drop(columns="color").to_csv("lacking.csv", index=False)
    Path("unknown.toml").write_text("[adamw]\n[dropot]\n")
    Path("broken.toml").write_text("[adamw\n")
    Path("unfit.toml").write_text("[adamw]\n[flip]\n")
    names = {
        "DATA": data, "TRAINED": trained, "RECIPE": recipe, "LACKING": "lacking.csv",
        "UNKNOWN": "unknown.toml", "BROKEN": "broken.toml", "UNFIT": "unfit.toml", "OUT": "out",
    }  # fmt: skip
    line = told(in_process(capfd, *(names.get(a, a) for a in arguments)), 2)
    for word in words:
        assert word in line


def in_process(
    capfd: pytest.CaptureFixture[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Runs a command in this process."""
    return subprocess.CompletedProcess(arguments, *run_here(capfd, *arguments))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in (("optimize", data, "--trials", 2),):
        line = told(in_process(capfd, *command, "--device", "cuda"), 2)
        assert "cuda" in line
        assert "--device cpu" in line


def test_wrong_usage_ends_with_two(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (("frob",), ("optimize", "x", "--trials", "many"), ("train",)):
        ran = in_process(capfd, *arguments)
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr


def test_a_budget_too_short_ends_with_three_and_says_what_would_do(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    columns = {f"x{i}": generator.normal(size=20_000).round(3) for i in range(20)}
    table = pd.DataFrame(columns | {"y": generator.integers(0, 2, 20_000)})
    table.to_csv(tmp_path / "large.csv", index=False)
    ran = pawl("optimize", tmp_path / "large.csv", "--budget", "5s", "--out", tmp_path / "out")
    line = told(ran, 3)
    assert "5s" in line
    assert "--budget" in line


def test_an_interrupt_says_how_to_go_on_and_what_goes_on_ends(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "with space"
    process = start("optimize", data, "--trials", 4, "--out", out)
    while process.poll() is None and not (out / "ledger.sqlite").is_file():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    ran = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    line = told(ran, 130)
    assert f"pawl optimize --resume '{out}'" in line
    assert not (out / "summary.json").exists()
    again = pawl("optimize", "--resume", out, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads((out / "summary.json").read_text())


def test_an_interrupt_of_anything_else_is_one_line(data: Path, recipe: Path) -> None:
    process = start("compare", data, recipe, recipe, quick=False)
    assert process.stderr is not None
    assert "binary classification of 'target'" in process.stderr.readline()
    assert "compare" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "pawl: interrupted"
    assert "Traceback" not in stderr


def test_techniques_are_listed_and_shown(capfd: pytest.CaptureFixture[str]) -> None:
    everything = json.loads(in_process(capfd, "techniques", "--json").stdout)
    assert {t["name"] for t in everything} == {t.name for t in techniques()}
    listed = in_process(capfd, "techniques").stdout
    assert all(t["name"] in listed for t in everything)
    (one,) = json.loads(in_process(capfd, "techniques", "adamw", "--json").stdout)
    assert {s["name"] for s in one["settings"]} >= {"learning_rate", "weight_decay"}
    shown = in_process(capfd, "techniques", "adamw").stdout
    assert "learning_rate" in shown
    losses = json.loads(in_process(capfd, "techniques", "--stage", "loss", "--json").stdout)
    assert {t["stage"] for t in losses} == {"loss"}


def test_two_recipes_are_compared(
    data: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    other = tmp_path / "slow.toml"
    other.write_text(recipe.read_text().replace("0.001", "0.00002"))
    command = ("compare", data, recipe, other, "--pairs", 5, "--seed", 2)
    ran = in_process(capfd, *command, "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["n"] == 5
    assert result["effect"] == pytest.approx(result["second"] - result["first"])
    assert result["effect"] < 0
    assert result["verdict"] in ("worse", "no difference shown")
    shown = in_process(capfd, *command).stdout
    assert result["verdict"] in shown
    assert "5 pairs" in shown
    same = json.loads(
        in_process(capfd, "compare", data, recipe, recipe, "--pairs", 5, "--json").stdout
    )
    assert (same["effect"], same["verdict"]) == (0, "no difference shown")


BLIND = """
import torch
from pawl import Task
class Blind(torch.nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(spec.num_outputs))
    def forward(self, x):
        return self.bias + 0.0 * x.sum(1, keepdim=True)
task = Task(data={path!r}, model=Blind, target="target")
"""


def test_a_model_that_learned_nothing_is_told(
    data: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    module = tmp_path / "blind.py"
    module.write_text(BLIND.format(path=str(data)))
    unscaled = tmp_path / "unscaled.toml"
    unscaled.write_text(recipe.read_text().replace("[standardize]\n", ""))
    same = "models predict the same for every row"
    ran = in_process(capfd, "train", module, "--recipe", unscaled, "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    told = " ".join(ran.stdout.split())
    assert "learned nothing: it predicts the same for every row; try standardize" in told
    ran = in_process(capfd, "compare", module, recipe, unscaled, "--pairs", 5)
    told = " ".join(ran.stdout.split())
    assert f"the first model learned nothing: 5 of 5 {same}" in told
    assert f"the second model learned nothing: 5 of 5 {same}; try standardize" in told
    found = json.loads(
        in_process(capfd, "compare", module, recipe, recipe, "--pairs", 5, "--json").stdout
    )
    assert [each["rule"] for each in found["findings"]] == ["learned_nothing"] * 2


def test_what_was_trained_predicts(
    trained: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions.csv"
    ran = in_process(capfd, "predict", trained, data, "--out", out)
    assert ran.returncode == 0
    assert str(out) in ran.stdout
    assert list(pd.read_csv(out).columns) == ["prediction", "p_no", "p_yes"]


def test_the_doctor_says_what_is_seen_of_a_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "task.py"
    task.write_text(
        """
import torch
from torch import nn
from torch.nn import functional as F
from pawl.task import Task

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(F.gelu(self.act(self.first(x))))

task = Task(data="breast-cancer", model=Net)
"""
    )
    found = json.loads(in_process(capfd, "doctor", "--model", task, "--json").stdout)
    assert [(each["name"], each["called"], each["is"]) for each in found["activations"]] == [
        ("act", "as a module", "ReLU()"),
        ("module:gelu0", "as a function", "GELU(approximate='none')"),
    ]
    assert found["activations"][0]["shapes"] == ["[B, 8]"]
    assert [(each["address"], each["is"]) for each in found["operations"]] == [
        ("first", "Linear"), ("act", "ReLU"), ("module:gelu0", "gelu"), ("last", "Linear"),
    ]  # fmt: skip
    assert found["operations"][0]["takes"] == ["[B, 30]"]
    assert found["operations"][0]["gives"] == ["[B, 8]"]
    reasons = {each["name"]: each["reason"] for each in found["techniques"]}
    assert reasons["activation"] is None
    assert reasons["depth"]
    shown = in_process(capfd, "doctor", "--model", task).stdout
    assert "as a function" in shown
    assert "no: " in shown


def test_the_doctor_finds_this_machine_fit(capfd: pytest.CaptureFixture[str]) -> None:
    found = json.loads(in_process(capfd, "doctor", "--json").stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert all(checks[name]["ok"] for name in ("train", "export", "ledger"))
    assert found["versions"]["torch"]
    shown = in_process(capfd, "doctor").stdout
    assert "FAILS" not in shown
    assert ("none  accelerator" in shown) != checks["accelerator"]["ok"]


def test_a_campaign_is_shown_and_its_report_is_written_anew(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    out = tmp_path / "out"
    ran = in_process(capfd, "optimize", data, "--trials", 3, "--out", out)
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert " ".join(summary["gain"]["statement"].split()) in " ".join(ran.stdout.split())
    assert f"report   {out / 'report.html'}\n" in ran.stdout
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    again = in_process(capfd, "report", out)
    assert (again.returncode, again.stdout) == (0, ran.stdout)
    assert (out / "report.html").read_bytes() == page
    assert json.loads(in_process(capfd, "report", out, "--json").stdout) == summary
    for path, words in (("artifacts", "kept.json' is missing"), ("ledger.sqlite", "ledger")):
        (out / path).rename(out / "away")
        refused = in_process(capfd, "report", out)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert words in refused.stderr
        (out / "away").rename(out / path)


def test_a_terminal_sees_one_line_that_is_rewritten_and_a_line_per_phase() -> None:
    screen, log = io.StringIO(), io.StringIO()
    with TerminalProgress(Console(file=screen, force_terminal=True, width=60)) as shown:
        shown.phase("search", "generation [1]")
        shown.progress(trials=3, best=0.98765432, left=-2.0)
        shown.phase("search", "generation [2]")
        shown.phase("test", "a detail that is much too long for a narrow terminal")
    assert "generation [1]" in screen.getvalue()
    assert "3 trained  best 0.98765  0s left" in screen.getvalue()
    with TerminalProgress(Console(file=log, width=40)) as shown:
        shown.phase("search", "generation [1]")
        shown.progress(trials=3, best=None, left=None)
        shown.phase("search", "generation 2")
    assert [line.split("  ")[-1] for line in log.getvalue().splitlines()] == [
        "search: generation [1]",
        "search: generation 2",
    ]
