"""Draws what `populations.py` measured.

python benchmarks/picture.py benchmarks/results/populations.json docs/populations.svg
"""

from __future__ import annotations

from typing import Any

import altair
import pages

NAMES = {
    "optuna_dataloader": "Optuna, DataLoader",
    "optuna": "Optuna, resident tensors",
    "sklearn": "scikit-learn, a job per core",
    "processes": "a process per core",
    "floor": "matrix products alone",
}


def points(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns one point per contestant and network width."""
    return [
        {
            "contestant": NAMES.get(name, name.replace("pawl_", "pawl, ") + " configurations"),
            "net": row["net_width"],
            **rates,
        }
        for row in record["rows"]
        for name, rates in row["trials_per_second"].items()
    ]


def chart(record: dict[str, Any]) -> altair.LayerChart:
    """Returns trials per second over the network's width, with the range over the rounds."""
    base = altair.Chart(altair.Data(values=points(record))).encode(
        x=altair.X("net:O", title="units per layer"),
        color=altair.Color("contestant:N", title=None, sort=None),
    )
    y = altair.Y(
        "median:Q", scale=altair.Scale(type="log"), title="whole trials per second (log scale)"
    )
    lines = base.mark_line(point=True).encode(y=y)
    spread = base.mark_rule().encode(
        y=altair.Y("least:Q", scale=altair.Scale(type="log")), y2="most:Q"
    )
    title = f"Tuning a perceptron on Adult: {record['hardware']['cores']} cores, batch {record['batch']}"
    return (lines + spread).properties(width=420, height=300, title=title)


if __name__ == "__main__":
    pages.picture(chart)
