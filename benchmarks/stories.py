"""Fault, fix, proof: what `pawl optimize` makes of five planted faults on real data.

    python benchmarks/stories.py --budget 5m --seeds 0-4 --work stories.jsonl

For each fault (`stories_tasks.py`) and seed a campaign is run by the command, from a recipe that has the
fault. It is told whether a rule that may tell of it did, which of the techniques that this rule suggests
were kept, and with which effect, 95% interval and corrected p-value on pairs that nothing was chosen by.
With `--work` a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from running import Record, computed, cores, ended, numbers, on, stop_on_sigterm
from running import threads_environment as threads
from stories_tasks import RECIPES, RULES

import pawl
from pawl.environment import hardware, versions

HERE = Path(__file__).parent
MOST_SECONDS = 7200.0


def campaign(name: str, seed: int, length: list[str], epochs: int | None) -> Record:
    """Returns what a campaign on a task with a fault tells of it."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        recipe, out = Path(folder, "recipe.toml"), Path(folder, "out")
        recipe.write_text(pawl.Recipe.from_dict(RECIPES[name]).to_toml(), encoding="utf-8")
        # Networks alone: boosted trees would be delivered in place of a mended net.
        command = [
            *on(cores()), sys.executable, "-m", "pawl.cli", "optimize", f"stories_tasks.py:{name}",
            "--baseline", str(recipe), "--seed", str(seed), "--out", str(out), *length,
            "--families", "nets", "--ensemble", "none", "--average", "1",
        ]  # fmt: skip
        command += [] if epochs is None else ["--epochs", str(epochs)]
        code, said = ended(command, MOST_SECONDS, folder=HERE, environment=threads(len(cores())))
        if code:
            return {"error": said[-500:], "code": code}
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {**told(name, summary), "seconds": round(time.perf_counter() - started, 1)}


def told(name: str, summary: dict[str, Any]) -> Record:
    """Returns the fault's story in a summary."""
    found = [each for each in summary["findings"] if each["rule"] in RULES[name]]
    fixes = [fix for each in found for fix in each["fixes"]]
    return {
        "found": bool(found),
        "rules": [each["rule"] for each in summary["findings"]],
        "evidence": found[0]["evidence"] if found else "",
        "tried": [fix["technique"] for fix in fixes if fix["trials"]],
        "in_final": [f["technique"] for f in fixes if f["standing"] in ("in_final", "proven")],
        "proven": {fix["technique"]: fix["effect"] for fix in fixes if fix["standing"] == "proven"},
        "outcome": found[0]["outcome"] if found else "",
        "gain": summary["gain"]["value"],
        "gain_proven": summary["proven"],
        "confirmation": summary["confirmation"],
        "trials": summary["trials"],
    }


def main() -> None:
    """Runs the campaigns, and prints what they tell as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(RECIPES), help="names of faults")
    parser.add_argument("--seeds", type=numbers, default=[0], help="as in 0-4")
    parser.add_argument("--budget", help="of a campaign, as in 5m")
    parser.add_argument("--trials", help="in place of a budget")
    parser.add_argument("--epochs", type=int, help="most passes of a training")
    parser.add_argument("--work", type=Path, help="JSONL file that a stopped run goes on from")
    given = parser.parse_args()
    stop_on_sigterm()
    length = ["--trials", given.trials] if given.trials else ["--budget", given.budget or "5m"]
    faults: dict[str, Any] = {}
    for name in given.only.split(","):
        seeds = {}
        for seed in given.seeds:
            key = [name, seed, length, given.epochs]
            seeds[str(seed)] = computed(
                given.work,
                key,
                lambda: campaign(name, seed, length, given.epochs),  # noqa: B023
            )
            print(name, seed, json.dumps(seeds[str(seed)]), file=sys.stderr)
        runs = list(seeds.values())
        faults[name] = {
            "campaigns": len(runs),
            "found": sum(run.get("found", False) for run in runs),
            "kept": sum(bool(run.get("in_final")) for run in runs),
            "proven": sum(bool(run.get("proven")) for run in runs),
            "seeds": seeds,
        }
    print(json.dumps({"length": length, "faults": faults, "hardware": hardware("cpu"),
                      "versions": versions()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
