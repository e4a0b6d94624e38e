"""Campaigns over plain functions: found, proven over seeds, killed and resumed, refused in one line."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field
from terminal import run_here

import pawl
from pawl.errors import BudgetError, LedgerError, PawlError
from pawl.evidence.delivering import likelihood
from pawl.evidence.tests import Comparison
from pawl.execution import Clock
from pawl.functions import Tuned
from pawl.functions.compared import compare, counted, mean_with_interval
from pawl.functions.confirming import confirm
from pawl.functions.runs import Runs
from pawl.functions.space import FunctionSpace
from pawl.ledger import Ledger, ask_to_stop

TRIALS = 14


class Settings(BaseModel):
    """Two that matter, one that does not, and one that is not searched."""

    x: float = Field(0.5, ge=0.0, le=5.0)
    rate: float = Field(0.3, ge=1e-4, le=1.0, json_schema_extra={"log": True})
    color: Literal["red", "green"] = "red"
    fixed: int = 3


def parabola(settings: Settings, seed: int) -> dict[str, float]:
    """Best at x = 2 and a small rate; what seeds do is shared by all settings, mostly."""
    generator = np.random.default_rng(seed)
    common, own = generator.normal(size=2)
    loss = (settings.x - 2.0) ** 2 + 0.5 * abs(math.log10(settings.rate) + 2.0)
    return {"loss": 3.0 + loss + common + 0.05 * own, "fixed": settings.fixed, "seconds": 0.1}


def task(**more: Any) -> pawl.FunctionTask:
    given = {"train": parabola, "settings": Settings, "metric": "loss", "direction": "minimize"}
    return pawl.FunctionTask(**{**given, **more})


def same(first: Path, second: Path) -> bool:
    digests = [
        json.loads((f / "summary.json").read_text())["ledger_digest"] for f in (first, second)
    ]
    return digests[0] == digests[1]


def test_what_matters_is_found_and_proven(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = pawl.tune(task(), trials=TRIALS, out=tmp_path / "out")
    summary = result.summary
    assert (summary.proven, summary.delivered) == (True, "candidate")
    assert abs(result.settings["x"] - 2.0) < 1.0
    assert (result.settings["fixed"], summary.metric, summary.direction) == (3, "loss", "minimize")
    assert summary.confirmation is not None
    assert summary.confirmation.interval[0] > 0
    assert summary.candidate is not None
    assert summary.candidate.mean < summary.baseline.mean
    effects = {change.name: change for change in summary.changes}
    assert effects["x"].verdict == "kept"
    assert all(
        e.effect is not None and e.effect.n == summary.confirmation.n for e in effects.values()
    )
    assert json.loads((tmp_path / "out" / "settings.json").read_text()) == result.settings
    # Opened like any campaign, and its page written anew, the same.
    again = pawl.load(tmp_path / "out")
    assert isinstance(again, Tuned)
    assert again == result
    page = result.report.read_text()
    result.report.unlink()
    code, said, _ = run_here(capfd, "report", tmp_path / "out")
    assert code == 0
    assert "settings.json" in said
    assert result.report.read_text() == page
    page = result.report.read_text()
    assert "Proven: loss falls" in page
    assert "<script" not in page
    again = pawl.tune(task(), trials=TRIALS, out=tmp_path / "again")
    assert same(tmp_path / "out", tmp_path / "again")
    assert repr(again) == repr(result).replace(str(tmp_path / "out"), str(tmp_path / "again"))


@pytest.mark.parametrize("seed", range(3))
def test_what_does_not_matter_is_not_proven(seed: int, tmp_path: Path) -> None:
    def noise(settings: dict[str, Any], seed: int) -> float:
        return float(np.random.default_rng([seed, int(1e6 * settings["x"])]).normal())

    nothing = pawl.FunctionTask(train=noise, settings={"x": (0.0, 1.0)})
    summary = pawl.tune(nothing, trials=8, seed=seed, out=tmp_path / "out").summary
    assert not summary.proven
    assert summary.confirmation is not None
    assert summary.confirmation.p_value > 0.05
    assert (summary.metric, summary.looks) == ("score", [5, 10, 20])


def test_false_claims_are_rare() -> None:
    generator = np.random.default_rng(0)
    claims = 0
    for _ in range(400):
        arms = [dict(enumerate(generator.normal(size=10))) for _ in range(2)]
        claims += compare(1.0, *arms).p_value <= 0.05
    assert 5 <= claims <= 36  # 20 expected; 0.1% of outcomes are outside


@pytest.mark.slow
def test_false_claims_of_whole_confirmations_are_rare(tmp_path: Path) -> None:
    """400 confirmations of settings that are no better: 2.5% may be called better, 10 of 400."""

    def noise(settings: dict[str, Any], seed: int) -> float:
        return float(np.random.default_rng([seed, int(1e6 * settings["x"])]).normal())

    nothing = pawl.FunctionTask(train=noise, settings={"x": (0.0, 1.0)})
    space, claims = FunctionSpace(nothing), 0
    for place in range(400):
        with Ledger.create(tmp_path / str(place), {}) as ledger:
            runs = Runs(nothing, space, "score", ledger, place, Clock(ledger), 1)
            claims += confirm(runs, {"x": 0.25}).proven
    assert claims <= 20  # 0.2% of outcomes are beyond, if the rate is 2.5%


def test_a_function_that_ignores_its_seed_is_told_apart(tmp_path: Path) -> None:
    exact = pawl.FunctionTask(
        train=lambda settings, seed: -((settings["x"] - 2) ** 2), settings={"x": (0, 9)},
        baseline={"x": 9},
    )  # fmt: skip
    result = pawl.tune(exact, trials=8, out=tmp_path / "out")
    assert (result.summary.deterministic, result.summary.proven) == (True, False)
    assert result.summary.delivered == "candidate"
    assert result.settings["x"] < 9
    assert "Every seed gives the same" in result.summary.statement
    proven = pawl.tune(exact, trials=8, deliver="proven", out=tmp_path / "proven")
    assert proven.settings == {"x": 9}


def test_runs_that_fail_are_on_record_and_count_as_the_worst(tmp_path: Path) -> None:
    def fragile(settings: dict[str, Any], seed: int) -> float:
        if settings["x"] > 3:
            raise RuntimeError("too\nmuch")
        if settings["x"] > 2.5:
            return math.nan
        return settings["x"] + 0.1 * float(np.random.default_rng(seed).normal())

    risky = pawl.FunctionTask(train=fragile, settings={"x": (0.0, 5.0)}, baseline={"x": 0.1})
    result = pawl.tune(risky, trials=16, out=tmp_path / "out")
    assert result.summary.failed > 0
    assert 0.1 < result.settings["x"] <= 2.5
    assert counted({1: 0.5, 2: None}, -1.0) == {1: 0.5, 2: -1.0}


def test_a_budget_is_kept(tmp_path: Path) -> None:
    def slow(settings: dict[str, Any], seed: int) -> float:
        time.sleep(0.05)
        return -((settings["x"] - 2.0) ** 2) + 0.1 * float(np.random.default_rng(seed).normal())

    timed = pawl.FunctionTask(train=slow, settings={"x": (0.0, 5.0)}, baseline={"x": 0.5})
    summary = pawl.tune(timed, budget=8, executor="inline", out=tmp_path / "out").summary
    assert summary.budget_seconds == 8
    assert summary.proven
    assert summary.looks


def test_only_some_settings(tmp_path: Path) -> None:
    result = pawl.tune(task(), trials=6, only=["color"], out=tmp_path / "out")
    assert (result.settings["x"], result.settings["rate"]) == (0.5, 0.3)


MODULE = """
import os
import numpy as np
import pawl


def train(settings, seed):
    with open(os.environ["RUNS"], "a") as file:
        file.write("run\\n")
    if os.path.getsize(os.environ["RUNS"]) == 4 * int(os.environ.get("DIE", 0)):
        os.kill(int(os.environ.get("PARENT", os.getpid())), 9)
    return settings["x"] * FACTOR + 0.01 * np.random.default_rng(seed).normal()


FACTOR = 1.0
task = pawl.FunctionTask(train=train, settings={"x": (0.0, 5.0)}, baseline={"x": 1.0})
"""


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "experiment.py"
    module.write_text(MODULE)
    out, runs = tmp_path / "out", tmp_path / "runs"
    monkeypatch.setenv("RUNS", str(runs))
    code = f"import pawl; pawl.tune({str(module)!r}, trials=6, executor='inline', out={str(out)!r})"
    died = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "DIE": "12"}, check=False
    )
    assert died.returncode == -9
    assert not (out / "summary.json").exists()
    with pytest.raises(LedgerError, match="was started with the trials 6, and got 9"):
        pawl.tune(resume=out, trials=9)
    before = runs.read_text().count("run")
    assert run_here(capfd, "tune", "--resume", out)[0] == 0
    assert run_here(capfd, "tune", module, "--trials", 6, "--executor", "inline", "--out",
                    tmp_path / "whole")[0] == 0  # fmt: skip
    assert same(out, tmp_path / "whole")
    assert before < runs.read_text().count("run")
    finished = runs.read_text()
    assert pawl.tune(resume=out).settings == pawl.tune(resume=tmp_path / "whole").settings
    assert runs.read_text() == finished
    (out / "summary.json").unlink()
    module.write_text(MODULE.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    code, _, said = run_here(capfd, "tune", "--resume", out)
    assert code == 2
    assert "the task's train is not what the campaign" in " ".join(said.split())
    assert run_here(capfd, "tune", "--resume", out, "--accept-changes")[0] == 0


def test_the_command_says_what_was_found(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "experiment.py"
    module.write_text(MODULE)
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    arguments = ("tune", module, "--trials", 6, "--executor", "inline")
    code, said, _ = run_here(capfd, *arguments, "--out", tmp_path / "out")
    assert code == 0
    assert "The best settings found improve score" in " ".join(said.split())
    code, said, _ = run_here(capfd, *arguments, "--out", tmp_path / "json", "--json")
    assert json.loads(said)["proven"]
    assert json.loads(said)["command"] == f"pawl tune {module} --executor inline --trials 6"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({"train": 3}, {}, "got 3 to train; give a function"),
        ({"settings": 3}, {}, "got 3 as settings; give a pydantic model, or a mapping"),
        ({"settings": {}}, {}, "none of the settings has a range to search"),
        ({"settings": {"x": (1.0, 0.0)}}, {}, r"got \(1.0, 0.0\) as the range of 'x'; allowed are"),
        ({"settings": {"x": (0.0, 1.0, "log")}}, {}, "as the range of 'x'; allowed are"),
        ({"settings": {"x": "small"}}, {}, "got 'small' as the range of 'x'; allowed are"),
        (
            {"baseline": {"y": 1}},
            {},
            "the baseline has the setting 'y'; there are x, rate, color, fi",
        ),
        ({"baseline": {"x": 7.0}}, {}, "the setting 'x' cannot start from 7.0"),
        (
            {"settings": {"x": (0, 1)}, "baseline": {"x": 7}},
            {},
            "x=7, which is not in its range",
        ),
        (
            {"metric": None},
            {},
            "it returned loss, fixed, seconds, and it is not said which is improved",
        ),
        ({"metric": "los"}, {}, "it returned loss, fixed, seconds, and no los"),
        ({"direction": "up"}, {}, "got direction='up'; allowed are maximize and minimize"),
        (
            {"train": lambda s, seed: "good"},
            {},
            "it returned str; it must return a number, or a mapp",
        ),
        ({"train": lambda s, seed: {"loss": math.inf}}, {}, "its loss is inf"),
        ({"train": lambda s, seed: 1 / 0}, {}, "it raised ZeroDivisionError: division by zero"),
        ({"train": lambda s, seed: sys.exit(3)}, {}, "it raised SystemExit: 3"),
        ({}, {"only": ["colour"]}, "the setting 'colour' .did you mean 'color'.*x, rate, color"),
        ({}, {"trials": 0}, "got trials=0; give a whole number"),
        ({}, {"epochs": 3}, "got the unknown option 'epochs'"),
        ({}, {"accept_changes": True}, "accept_changes= is for going on"),
    ],
)
def test_what_is_refused(
    given: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PawlError, match=message) as caught:
        pawl.tune(task(**given), **{"trials": 4, "out": tmp_path / "out", **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "ledger.sqlite").exists()


def test_tasks_of_the_other_sort_are_told_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(PawlError, match="a function's settings are for pawl tune"):
        pawl.optimize(task(), out=tmp_path / "out")
    with pytest.raises(PawlError, match=r"got Task; allowed is a pawl.FunctionTask"):
        pawl.tune(pawl.Task(data="digits"), out=tmp_path / "out")
    with pytest.raises(PawlError, match="no task given"):
        pawl.tune()
    with pytest.raises(LedgerError, match="holds no campaign"):
        pawl.tune(resume=tmp_path)


def test_a_budget_of_which_nothing_is_left_is_told(tmp_path: Path) -> None:
    def slow(settings: Settings, seed: int) -> float:
        time.sleep(1.5)
        return settings.x

    with pytest.raises(BudgetError):
        pawl.tune(
            task(train=slow, metric=None), budget=1, executor="inline", out=tmp_path / "out",
            started=time.monotonic() - 60,
        )  # fmt: skip


def test_spaces() -> None:
    space = FunctionSpace(task())
    assert set(space.distributions) == {"x", "rate", "color"}
    assert space.baseline == {"x": 0.5, "rate": 0.3, "color": "red", "fixed": 3}
    assert space.settings({"x": 1.0}) == Settings(x=1.0)
    ranges = pawl.FunctionTask(
        train=parabola, settings={"a": (0, 10), "b": (1e-4, 1.0, "log"), "c": ["p", "q"]}
    )
    middle = FunctionSpace(ranges).baseline
    assert (middle["a"], middle["c"]) == (5, "p")
    assert middle["b"] == pytest.approx(0.01)


def test_open_bounds_and_values_of_other_types() -> None:
    class Open(BaseModel):
        x: float = Field(0.5, gt=0.0, lt=1.0)
        n: int = Field(3, gt=1, lt=9)
        path: Path = Path("there")
        free: float = 2.0

    space = FunctionSpace(pawl.FunctionTask(train=parabola, settings=Open))
    assert set(space.distributions) == {"x", "n"}
    assert vars(space.distributions["n"])["low"] == 2
    assert 0.0 < vars(space.distributions["x"])["low"] < 1e-300
    assert json.loads(json.dumps(space.baseline)) == space.baseline
    assert space.settings({"n": 4}) == Open(n=4)
    ranges = pawl.FunctionTask(train=parabola, settings={"n": (0, 9)}, baseline={"n": np.int64(3)})
    assert json.dumps(FunctionSpace(ranges).baseline) == '{"n": 3}'


def test_differences_that_are_all_the_same_number() -> None:
    """By hand: of 2^n ways to give signs, two are as extreme; rounding is no spread."""

    def alike(n: int, by: float) -> Comparison:
        base = {seed: 0.1 * seed for seed in range(1, n + 1)}
        return compare(1.0, {seed: score + by for seed, score in base.items()}, base)

    assert [alike(n, 0.3).p_value for n in (2, 5, 6)] == [0.5, 0.0625, 0.03125]
    assert alike(5, 0.3).interval == (-math.inf, math.inf)
    found = alike(20, -0.3)
    assert found.p_value == 2.0**-19
    assert found.effect == pytest.approx(-0.3)
    assert found.interval == (found.effect, found.effect)
    assert alike(20, 0.0).p_value == alike(20, 1e-17).p_value == 1.0
    assert (alike(20, 0.0).effect, likelihood(alike(20, 0.0))) == (0.0, 0.5)
    assert alike(4, 0.3).lower == -math.inf
    assert alike(5, 0.3).lower == pytest.approx(0.3)


@pytest.mark.parametrize("chance", [1.0, 0.9, 0.5])
def test_false_claims_on_a_grid_are_rare(chance: float) -> None:
    """Differences of one step, up, down, or none: as without a difference, whatever share is none."""
    generator = np.random.default_rng(7)
    claims = dict.fromkeys((5, 6, 10, 20), 0)
    for _ in range(1000):
        steps = 0.01 * generator.choice([-1, 1], size=20) * (generator.random(20) < chance)
        second = dict(enumerate(generator.normal(size=20).round(2)))
        first = {seed: score + steps[seed] for seed, score in second.items()}
        for n in claims:
            mine = {seed: first[seed] for seed in range(n)}
            claims[n] += compare(1.0, mine, second).p_value <= 0.05
    assert max(claims.values()) <= 75  # 50 expected at most; 0.05% of outcomes are beyond


def test_what_every_seed_improves_alike_is_proven(tmp_path: Path) -> None:
    """Seeds shift all settings by the same: the differences of the pairs have no spread at all."""

    def shifted(settings: dict[str, Any], seed: int) -> float:
        return settings["x"] + float(np.random.default_rng(seed).integers(0, 99))

    alike = pawl.FunctionTask(train=shifted, settings={"x": (0, 9)}, baseline={"x": 1})
    summary = pawl.tune(alike, trials=6, executor="inline", out=tmp_path / "out").summary
    assert (summary.proven, summary.deterministic, summary.looks) == (True, False, [5, 10])
    assert summary.confirmation is not None
    assert summary.confirmation.interval == (summary.confirmation.value,) * 2
    (change,) = summary.changes  # all that differs is that one setting
    assert (change.verdict, change.effect) == ("kept", summary.confirmation)
    assert "Proven: score rises" in (tmp_path / "out" / "report.html").read_text()
    few = tmp_path / "few"  # five pairs are not enough
    summary = pawl.tune(
        alike, trials=6, executor="inline", out=few, listener=StopAfter(few, 6)
    ).summary
    assert (summary.proven, summary.looks, summary.delivered) == (False, [5], "candidate")
    assert "95% interval unbounded, 5 seeds, corrected p = 0.06" in summary.statement


class StopAfter:
    """A listener that asks a campaign to end once so many runs are done."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder, self.runs = folder, runs

    def phase(self, name: str, detail: str) -> None:
        pass

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        if trials >= self.runs:
            ask_to_stop(self.folder)


def test_one_that_was_asked_to_end_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    result = pawl.tune(task(), trials=99, executor="inline", out=out, listener=StopAfter(out, 5))
    summary = result.summary
    assert summary.runs < 99
    assert summary.stopped_after is not None
    assert summary.looks == [5]
    said = "The campaign was asked to end after"
    assert said in summary.statement
    assert said in result.report.read_text()
    assert pawl.load(out) == result
    whole = pawl.tune(task(), trials=4, executor="inline", out=tmp_path / "whole").summary
    assert whole.stopped_after is None
    assert said not in whole.statement


def test_by_hand() -> None:
    # Differences 1, 2 and 3: mean 2, deviation 1, standard error 1 / sqrt(3), two degrees of freedom.
    found = compare(-1.0, {1: 1.0, 2: 1.0, 3: 1.0, 4: 9.0}, {1: 2.0, 2: 3.0, 3: 4.0})
    assert (found.effect, found.n, found.degrees) == (2.0, 3, 2.0)
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.p_value == pytest.approx(0.0742, abs=1e-4)
    assert compare(1.0, {1: 2.0}, {1: 1.0}).p_value == 1.0
    assert mean_with_interval([1.0])[1] == (-math.inf, math.inf)
    mean, (low, high) = mean_with_interval([1.0, 2.0, 3.0])
    assert (mean, low) == (2.0, pytest.approx(2 - 4.303 / math.sqrt(3), abs=1e-3))
    assert high == pytest.approx(4 - low)
