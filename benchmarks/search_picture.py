"""Draws what `search.py` measured: the mean best so far of each method, with the range over the seeds.

python benchmarks/search_picture.py benchmarks/results/search.json docs/search.svg
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import altair
import pages

_STEPS = 40


def whole(record: dict[str, Any], case: str) -> list[int]:
    """Returns the seeds that every method that was run on a data set was run with."""
    own = [each for each in record["searches"] if each["case"] == case]
    methods = {each["method"] for each in own}
    return [
        seed
        for seed in sorted({each["seed"] for each in own})
        if {each["method"] for each in own if each["seed"] == seed} == methods
    ]


def points(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns for each data set, method and number of epochs the best so far, over whole seeds."""
    most = record["epochs_of_a_training"] * record["trainings"]
    by: dict[tuple[str, str], list[list[list[float]]]] = defaultdict(list)
    for each in record["searches"]:
        if each["seed"] in whole(record, each["case"]):
            by[each["case"], each["method"]].append(each["course"])
    found = []
    for (case, method), courses in by.items():
        for step in range(1, _STEPS + 1):
            epochs = most * step / _STEPS
            best = [[score for at, score in course if at <= epochs] for course in courses]
            if all(best):  # every seed has a first score
                last = [scores[-1] for scores in best]
                found.append(
                    {
                        "case": case, "method": method, "epochs": epochs,
                        "mean": sum(last) / len(last), "least": min(last), "most": max(last),
                    }
                )  # fmt: skip
    return found


def chart(record: dict[str, Any]) -> altair.HConcatChart:
    """Returns one panel for each data set."""
    data = points(record)
    panels = []
    for case in dict.fromkeys(point["case"] for point in data):
        own = altair.Data(values=[point for point in data if point["case"] == case])
        base = altair.Chart(own).encode(x=altair.X("epochs:Q", title="epochs trained, all trials"))
        metric = next(s["metric"] for s in record["searches"] if s["case"] == case)
        y = altair.Y("mean:Q", scale=altair.Scale(zero=False), title=f"best validation {metric}")
        lines = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
            y=y, color=altair.Color("method:N", title=None, sort=None)
        )
        bands = base.mark_area(interpolate="step-after", opacity=0.08).encode(
            color=altair.Color("method:N", sort=None, legend=None),
            y=altair.Y("least:Q", scale=altair.Scale(zero=False)),
            y2="most:Q",
        )
        title = f"{case}, {len(whole(record, case))} seed(s)"
        # Its legend has the lines' colors: the bands' would be as faint as they are.
        drawn = altair.layer(lines, bands).resolve_legend(color="independent")
        panels.append(drawn.properties(width=420, height=300, title=title))
    return altair.hconcat(*panels)


if __name__ == "__main__":
    pages.picture(chart)
