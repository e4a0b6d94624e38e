"""Test metrics at equal time on real tables: pawl, Optuna with PyTorch, LightGBM, AutoGluon.

    pip install -e .[bench] -c constraints.txt
    python -m venv AG && AG/bin/pip install torch==2.13.0 "autogluon.tabular[lightgbm,catboost,xgboost,fastai]==1.6.3"
    python benchmarks/quality.py --out quality.jsonl --autogluon-python AG/bin/python \
        > benchmarks/results/quality.json
    python benchmarks/quality.py --out quality.jsonl --autogluon-python AG/bin/python --cores 1 \
        --together > benchmarks/results/quality-one-core.json

Tools run one after another on so many of the cores that this process may use (all by default); with
--together as many at a time as fit. Each cell is appended to --out as soon as it is known, and a run that
was stopped goes on behind what is there; `--splits 0` is a part of it. Rows and splits: `tables.py`.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
import tables
from placebo.tally import rate
from running import FILES
from tables import DIRECTIONS, Cell, read_cells, run

TOOLS = ("pawl", "optuna", "lightgbm", "autogluon")
NAMES = ("adult", "wine-red", "boston-housing", "horse-colic", "breast-cancer", "digits")
DATA = {name: tables.DATA[name] for name in NAMES}


def summary(every: list[Cell], absent: list[str]) -> dict[str, Any]:
    """Returns values, means, spreads and mean ranks (over the cells that all tools have)."""
    cells = [cell for cell in every if cell.value is not None]
    tools = [tool for tool in TOOLS if any(cell.tool == tool for cell in cells)]
    values = {(cell.data, cell.split, cell.tool): cell.value for cell in cells}
    places = sorted({(cell.data, cell.split) for cell in cells})
    complete = [p for p in places if all((*p, tool) in values for tool in tools)]
    ranks: dict[str, list[float]] = {tool: [] for tool in tools}
    for name, index in complete:
        row = pd.Series({tool: values[name, index, tool] for tool in tools})
        better_first = row.rank(ascending=DIRECTIONS[DATA[name].metric] < 0)
        for tool, rank in better_first.items():
            ranks[str(tool)].append(float(rank))
    return {
        "data": {
            name: dict(_rows(cells, name)) for name in DATA if any(c.data == name for c in cells)
        },
        "mean_rank": {tool: round(float(np.mean(r)), 3) for tool, r in ranks.items() if r},
        "rank_n": len(complete),
        "pawl": _campaigns([cell for cell in cells if cell.tool == "pawl"]),
        "seconds": {tool: _spread([c.seconds for c in cells if c.tool == tool]) for tool in tools},
        "not_run": absent,
        "failed": [
            f"{cell.data} {cell.split} {cell.tool}: {cell.error}"
            for cell in every
            if cell.value is None
        ],
        "cores": sorted({cell.cores for cell in cells}),
        "versions": {
            tool: next(c.versions for c in reversed(cells) if c.tool == tool) for tool in tools
        },
    }


def _campaigns(cells: list[Cell]) -> dict[str, Any]:
    """Returns how many of pawl's campaigns proved a gain and delivered what, and each of them."""
    told = ("proven", "delivered", "likelihood", "better", "baseline", "final")
    return {
        "proven": rate(cell.notes["proven"] for cell in cells),
        "candidate_delivered": rate(cell.notes["delivered"] != "baseline" for cell in cells),
        "better_than_baseline_on_test_rows": rate(cell.notes["better"] for cell in cells),
        "campaigns": {
            f"{cell.data} {cell.split}": {name: cell.notes[name] for name in told}
            for cell in sorted(cells, key=lambda cell: (list(DATA).index(cell.data), cell.split))
        },
    }


def _rows(cells: list[Cell], name: str) -> Iterator[tuple[str, Any]]:
    yield "metric", DATA[name].metric
    for tool in TOOLS:
        mine = sorted((c for c in cells if (c.data, c.tool) == (name, tool)), key=lambda c: c.split)
        if mine:
            each = {str(c.split): round(c.value, 6) for c in mine if c.value is not None}
            yield tool, {**_spread(list(each.values())), "splits": each}


def _spread(values: list[float]) -> dict[str, float | int]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    found: dict[str, float | int] = {"n": len(values), "mean": round(float(np.mean(values)), 6)}
    return found if np.isnan(deviation) else {**found, "deviation": round(deviation, 6)}


def main() -> None:
    """Runs the missing cells and prints the summary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to append cells to")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--splits", type=running.numbers, default=[0, 1, 2], help="0-2 by default")
    parser.add_argument("--cores", type=int, help="that a tool may use; all by default")
    parser.add_argument("--together", action="store_true", help="as many tools at a time as fit")
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of a tool for a split")
    parser.add_argument(
        "--autogluon-python", default=os.environ.get("AUTOGLUON_PYTHON"),
        help="Python of AutoGluon's own environment (or $AUTOGLUON_PYTHON)",
    )  # fmt: skip
    given = parser.parse_args()
    tools = running.named(given.tools, TOOLS, "tools")
    names = running.named(given.data, tuple(DATA), "data")
    if not FILES.is_dir():
        sys.exit(f"no data at {FILES}; this benchmark needs the tables that lie beside the project")
    absent = []
    if "autogluon" in tools and not given.autogluon_python:
        tools.remove("autogluon")
        absent.append("autogluon: no --autogluon-python given")
    every = running.cores()
    cores = given.cores or len(every)
    if not 1 <= cores <= len(every):
        sys.exit(f"got --cores {cores}; this process may use 1 to {len(every)}")
    places = [every[i : i + cores] for i in range(0, len(every) - cores + 1, cores)]
    # Failed cells are run again.
    done = {cell.key for cell in read_cells(given.out) if cell.value is not None}
    running.stop_on_sigterm()

    def work(job: tuple[int, str, str], place: list[int]) -> None:
        index, name, tool = job
        python = given.autogluon_python if tool == "autogluon" else sys.executable
        cell = run(name, index, tool, python, given.seconds, place)
        running.append(given.out, asdict(cell))
        shown = cell.error if cell.value is None else f"{cell.value:.5f}"
        print(f"{name} {index} {tool}: {shown} ({cell.seconds:.0f} s)", file=sys.stderr)

    wanted = [
        (index, name, tool)
        for index in given.splits
        for name in names
        for tool in tools
        if (name, index, tool, given.seconds, cores) not in done
    ]
    running.in_turns(wanted, places if given.together else places[:1], work)
    from pawl.environment import hardware

    cells = [
        cell
        for cell in read_cells(given.out)
        if (cell.budget_seconds, cell.cores) == (given.seconds, cores)
    ]
    where = "one core" if cores == 1 else f"{cores} cores"
    what = f"test metric at {given.seconds:g} s and {where} per tool and split; a rank of 1 is best"
    result = {
        "what": what,
        **summary(cells, absent),
        "hardware": hardware(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
