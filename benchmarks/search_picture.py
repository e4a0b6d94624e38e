"""Draws what `search.py` measured: the best so far of each method beside plain Optuna's at the end.

python benchmarks/search_picture.py benchmarks/results/search.json docs/search.svg
"""

from __future__ import annotations

import statistics
from typing import Any

import altair
import pages

DEFAULT, PLAIN = "edits", "plain optuna"
LEGEND = altair.Legend(symbolOpacity=1.0)
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
    """Returns by data set, method and number of epochs the mean of the best so far, over whole seeds.

    Beside what plain Optuna has at the end of the same seed, in percent of that: seeds draw rows anew,
    and differ by far more than methods do. `low` and `high` are a standard error away.
    """
    most = record["epochs_of_a_training"] * record["trainings"]
    by = {(each["case"], each["method"], each["seed"]): each for each in record["searches"]}
    found = []
    for case, method in dict.fromkeys((case, method) for case, method, _ in by):
        for step in range(1, _STEPS + 1):
            gaps = []
            for seed in whole(record, case):
                one, last = by[case, method, seed], by[case, PLAIN, seed]["course"][-1][1]
                sign = 1.0 if one["direction"] == "maximize" else -1.0
                best = [score for at, score in one["course"] if at <= most * step / _STEPS]
                gaps += [100 * sign * (best[-1] - last) / abs(last)] if best else []
            if len(gaps) == len(whole(record, case)) > 1:  # every seed has a first score
                mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5
                found.append(
                    {
                        "case": case, "method": method, "epochs": most * step / _STEPS, "mean": mean,
                        "low": mean - error, "high": mean + error,
                    }
                )  # fmt: skip
    return found


def chart(record: dict[str, Any]) -> altair.HConcatChart:
    """Returns one panel for each data set, with bands of the default and of plain Optuna."""
    data, panels = points(record), []
    for case in dict.fromkeys(point["case"] for point in data):
        own = [point for point in data if point["case"] == case]
        base = altair.Chart(altair.Data(values=own)).encode(
            x=altair.X("epochs:Q", title="epochs trained, all trials"),
            color=altair.Color("method:N", title=None, sort=None, legend=LEGEND),
        )
        y = altair.Y(
            "mean:Q",
            title="best so far over plain Optuna's at the end, %",
        )
        named = altair.FieldOneOfPredicate(field="method", oneOf=[DEFAULT, PLAIN])
        lines = base.mark_line(interpolate="step-after").encode(
            y=y, strokeWidth=altair.condition(named, altair.value(3.5), altair.value(1.2))
        )
        bands = (
            base.transform_filter(named)
            .mark_area(interpolate="step-after", opacity=0.15)
            .encode(y=altair.Y("low:Q", title=""), y2="high:Q")
        )
        title = f"{case}, {len(whole(record, case))} seeds"
        panels.append((bands + lines).properties(width=380, height=300, title=title))
    return altair.hconcat(*panels)


if __name__ == "__main__":
    pages.picture(chart)
