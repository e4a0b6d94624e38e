"""Every kind of target on real data: killed once, resumed, predicted from, and scored anew.

    python benchmarks/kinds.py --records runs/kinds.jsonl > benchmarks/results/kinds.json
    python benchmarks/kinds.py --records runs/kinds.jsonl --only masks labels   # a part of it

Each case is the command line on a fifth of the rows held out by this script. The campaign's processes
are killed (SIGKILL) in the middle of the budget, the campaign is resumed, and the held-out rows
are predicted without targets. The metric is then computed from these, by scikit-learn or NumPy alone,
and must be what the summary says of the bundle.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

import pawl
from pawl.environment import hardware, versions
from pawl.ledger import Ledger
from pawl.techniques import techniques

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HELD_OUT = 5
MODULE = """
import sys
from dataclasses import replace

sys.path.insert(0, {examples!r})
import {name}


def part(data, held):
    rows = [i for i in range(len(data[1])) if (i % {every} == 0) == held]
    def some(x):
        return [x[i] for i in rows] if isinstance(x, list) else x[rows]
    inputs, targets = data
    if isinstance(inputs, dict):
        return {{k: some(v) for k, v in inputs.items()}}, some(targets)
    return some(inputs), some(targets)


def task():
    whole = {name}.task()
    return replace(whole, data=part(whole.data, False), test=part(whole.data, True))
"""
Files = tuple[list[str], Any, Any]
"""What names the data on the command line, the held-out inputs, and their targets."""


@dataclass(frozen=True)
class Case:
    """One campaign.

    Attributes:
        what: What it shows.
        seconds: Its budget.
        files: Writes what the command needs into a folder.
        score: The metric, given targets and what `predict` returned.
    """

    what: str
    seconds: float
    files: Callable[[Path], Files]
    score: Callable[[Any, Any], float]


def module(name: str, folder: Path) -> Files:
    """Writes the module of an example with the rows held out."""
    path = folder / f"held_{name}.py"
    path.write_text(MODULE.format(examples=str(EXAMPLES), name=name, every=HELD_OUT))
    sys.path.insert(0, str(folder))
    inputs, targets = __import__(path.stem).task().test
    return [str(path)], inputs, targets


def table(name: str, targets: list[str], rows: int | None, folder: Path) -> Files:
    """Writes a table as two files."""
    frame = pd.read_csv(running.FILES / name).dropna(subset=targets)
    if rows is not None:
        frame = frame.sample(rows, random_state=0)
    held = np.arange(len(frame)) % HELD_OUT == 0
    frame[~held].to_csv(folder / "train.csv", index=False)
    frame[held].to_csv(folder / "test.csv", index=False)
    given = [str(folder / "train.csv"), "--test", str(folder / "test.csv")]
    frame[held].drop(columns=targets).to_csv(folder / "inputs.csv", index=False)
    written = pd.read_csv(folder / "test.csv")[targets]  # as the campaign reads it
    return [*given, "--target", ",".join(targets)], str(folder / "inputs.csv"), written


def texts(folder: Path) -> Files:
    """Writes film reviews as raw text, in two files."""
    given, inputs, targets = table("movie-reviews.csv", ["label"], None, folder)
    return given, inputs, targets["label"]


def photos(folder: Path) -> Files:
    """Writes 5,000 small photographs as an archive, and a model of one's own for them."""
    archive = folder / "images.tar"
    os.environ["IMAGES"] = str(archive)
    script = [sys.executable, str(EXAMPLES / "extract_images.py")]
    given = [str(running.FILES / "cifar10.tar.xz"), str(archive)]
    subprocess.run([*script, *given], check=True, stdout=sys.stderr)  # the result alone is printed
    held = folder / "held"
    with tarfile.open(archive) as images:
        images.extractall(held, [m for m in images if m.name.startswith("test/")], filter="data")
    return [str(EXAMPLES / "own_images.py")], str(held / "test"), list(held.glob("test/*/*"))


def series(name: str, target: str, times: str, window: int, folder: Path) -> Files:
    """Writes a series as two files, the later rows held out; the first of these see rows before them."""
    frame = pd.read_csv(running.FILES / name)
    first = len(frame) - len(frame) // HELD_OUT
    frame[:first].to_csv(folder / "train.csv", index=False)
    frame[first:].to_csv(folder / "test.csv", index=False)
    frame[first - window :].to_csv(folder / "inputs.csv", index=False)
    given = [str(folder / "train.csv"), "--test", str(folder / "test.csv"), "--target", target]
    given += ["--time", times, "--window", str(window)]
    return given, str(folder / "inputs.csv"), frame[target][first:].to_numpy()


def perplexity(targets: Any, predicted: Any) -> float:
    """Returns `exp(-mean log p)` of the right characters."""
    p = np.take_along_axis(predicted["probabilities"], np.asarray(targets)[..., None], -1)
    return float(np.exp(-np.log(p.clip(1e-12)).mean()))


def overlap(targets: Any, predicted: Any) -> float:
    """Returns the mean over classes of intersection over union, over all pixels."""
    guess = predicted["prediction"].astype(int)
    right = np.asarray(targets).reshape(guess.shape)  # a channel axis of one is left out
    both = [((guess == c) & (right == c)).sum() for c in (0, 1)]
    any_ = [((guess == c) | (right == c)).sum() for c in (0, 1)]
    return float(np.mean(np.array(both) / np.array(any_)))


def labels(targets: Any, predicted: Any) -> float:
    """Returns the mean average precision over labels."""
    each = []
    for name in targets:
        wanted = sorted(targets[name].unique())[1]  # the second value is the label's "yes"
        p = predicted[f"p_{name}"]
        each.append(average_precision_score(targets[name] == wanted, p))
    return float(np.mean(each))


def quantities(targets: Any, predicted: Any) -> float:
    """Returns the mean R2 over targets."""
    return float(r2_score(targets, predicted[list(targets)]))


def positive(targets: Any, predicted: Any) -> float:
    """Returns the ROC AUC of the second class."""
    return float(roc_auc_score(targets, predicted.iloc[:, -1]))


def last(targets: Any, predicted: Any) -> float:
    """Returns the error of what is predicted for the last rows, in the target's unit."""
    errors = predicted["prediction"].to_numpy()[-len(targets) :] - targets
    # A row whose value is not known counts for nothing.
    return float(np.sqrt(np.nanmean(errors**2)))


def right(files: Any, predicted: Any) -> float:
    """Returns the share of images whose folder is named as what is predicted."""
    assert len(predicted) == len(files)
    folders = [Path(file).parent.name for file in predicted["file"]]
    return float(np.mean(predicted["prediction"].astype(str) == folders))


CASES = {
    "characters": Case("a language model of the user's: a class at each step", 300.0,
                       partial(module, "characters"), perplexity),
    "reviews": Case("rows of unlike lengths with a mask, and a model that returns a dict", 150.0,
                    partial(module, "reviews"), positive),
    "masks": Case("a mask for each image", 90.0, partial(module, "masks"), overlap),
    "labels": Case("two labels of a table", 90.0,
                   partial(table, "adult-train.csv", ["income", "sex"], 8000), labels),
    "quantities": Case("two quantities of a table", 90.0,
                       partial(table, "beijing-pm25.csv", ["TEMP", "PRES"], 8000), quantities),
    "photos": Case("5,000 photographs, and a residual net of the user's in the functional style",
                   600.0, photos, right),
    "photos for an hour": Case("the same photographs and net, with time for more techniques",
                               3600.0, photos, right),
    "texts": Case("film reviews as raw text", 240.0, texts, positive),
    "windows": Case("an hourly series, each row with the 24 before it", 300.0,
                    partial(series, "beijing-pm25.csv", "pm2.5", "year,month,day,hour", 24), last),
}  # fmt: skip


def killed_then_resumed(command: list[str], seconds: float, out: Path, work: Path) -> Any:
    """Runs a campaign, kills all of it in the middle of its budget, and goes on with it.

    Returns:
        Trainings on record when it was killed.
    """
    with subprocess.Popen(
        command, cwd=work, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            process.wait(0.5 * seconds)
            raise RuntimeError(f"it ended with {process.returncode} before it was to be killed")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    before = trainings(out)
    # A process that took a session of its own may still hold the campaign for a moment.
    for _ in range(20):
        code, said = running.ended(
            [*command[:4], "--resume", str(out)],
            3 * seconds + 60,
            folder=work,
        )
        if code == 0:
            return before
        time.sleep(0.5)
    raise RuntimeError(said[-500:])


def trainings(out: Path) -> int:
    """Returns how many trainings a campaign has on record."""
    with sqlite3.connect(f"file:{out / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        return int(ledger.execute("SELECT COUNT(*) FROM trials").fetchone()[0])


def architectures(out: Path) -> list[str]:
    """Returns the techniques that change a network which were part of a recipe that was trained."""
    changing = {t.name for t in techniques() if t.family == "architecture"}
    with Ledger.open(out) as ledger:
        tried = {name for trial in ledger.trials() for name in trial.recipe}
    return sorted(tried & changing)


def campaign(name: str, seed: int) -> dict[str, Any]:
    """Runs a case; returns what it came to."""
    case = CASES[name]
    with tempfile.TemporaryDirectory(prefix="kinds-") as folder:
        work = Path(folder)
        source, inputs, targets = case.files(work)
        out = work / "out"
        command = [
            sys.executable, "-m", "pawl.cli", "optimize", *source,
            "--budget", f"{case.seconds:g}s", "--seed", str(seed), "--out", str(out),
        ]  # fmt: skip
        before = killed_then_resumed(command, case.seconds, out, work)
        found = running.outcome(out)
        again = case.score(targets, pawl.load(out).predict(inputs))
        return {
            "what": case.what, "budget": case.seconds, "cores": len(running.cores()),
            "rows_held_out": len(targets),
            "trainings_when_killed": before, "architectures": architectures(out), "score_anew": again,
            "differs_from_summary_by": abs(again - found["final"]), **found,
        }  # fmt: skip


def function(seconds: float, seed: int) -> dict[str, Any]:
    """Tunes the example's function, in NumPy; the delivered settings are run anew."""
    sys.path.insert(0, str(EXAMPLES))
    import function as example

    with tempfile.TemporaryDirectory(prefix="kinds-") as folder:
        work, out = Path(folder), Path(folder) / "out"
        command = [
            sys.executable, "-m", "pawl.cli", "tune", str(EXAMPLES / "function.py"),
            "--budget", f"{seconds:g}s", "--seed", str(seed), "--out", str(out),
        ]  # fmt: skip
        before = killed_then_resumed(command, seconds, out, work)
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        with Ledger.open(out) as ledger:
            confirmed = ledger.trials("confirm")
        arm = summary[summary["delivered"]]
        final = arm["settings"]
        seeds = [
            trial.seed for trial in confirmed
            if trial.recipe["settings"] == final and trial.score is not None
        ]  # fmt: skip
        settings = example.Settings(**final)
        runs = [example.train(settings, seed)[summary["metric"]] for seed in seeds]
        again = float(np.mean(runs)) if runs else math.nan
        return {
            "what": "a plain function in NumPy", "budget": seconds, "trainings_when_killed": before,
            "seeds": len(runs), "score_anew": again, "metric": summary["metric"],
            "differs_from_summary_by": abs(again - arm["mean"]),
            "proven": summary["proven"], "delivered": summary["delivered"],
            "baseline": summary["baseline"]["mean"], "final": arm["mean"],
            "gain": summary["confirmation"], "statement": summary["statement"],
        }  # fmt: skip


def main() -> None:
    """Runs what is missing, then prints all that is known as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    names = [*CASES, "function"]
    parser.add_argument("--only", choices=names, nargs="+", default=names)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    running.stop_on_sigterm()
    found = {}
    for name in given.only:
        work = partial(function, 40.0) if name == "function" else partial(campaign, name)
        found[name] = running.computed(given.records, (name, given.seed), partial(work, given.seed))
        print(f"{name}: {found[name]['statement']}", file=sys.stderr)
    known = {record["key"][0]: record for record in running.read(given.records)}
    result = {
        "what": "campaigns killed once and resumed; the metric computed anew from predictions",
        "cases": {name: {k: v for k, v in known[name].items() if k != "key"} for name in known},
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
