"""Draws what `compression.py` measured: what each model loses, and how fast and small it is.

python benchmarks/compression_picture.py benchmarks/results/compression.json docs/compression.svg
"""

from __future__ import annotations

from typing import Any

import altair
import pages

_COLORS = {
    "onnxruntime fp32": "#888888", "dense": "#b07aa1", "onnxruntime int8": "#f28e2b",
    "nncf": "#edc948", "torch-pruning": "#59a14f", "pawl": "#4e79a7",
}  # fmt: skip


def points(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns each model of a case: accuracy lost (points), bound, speed, times as small."""
    whole = next(each for each in record["models"] if each["model"] == "onnxruntime fp32")
    return [
        {
            "model": each["model"],
            "way": next(way for way in _COLORS if each["model"].startswith(way)),
            "lost": 100 * each["loss"],
            "most": 100 * each["loss_at_most"],
            "speed": each["speed_batch"][0],
            "slow": each["speed_batch"][1][0],
            "fast": each["speed_batch"][1][1],
            "smaller": whole["bytes"] / each["bytes"],
        }
        for each in record["models"]
    ]


def panel(record: dict[str, Any]) -> altair.LayerChart:
    """Returns one case: speed of many rows to the right, loss upwards, size as the points' size."""
    base = altair.Chart(altair.Data(values=points(record)))
    x = altair.X("speed:Q", scale=altair.Scale(type="log", nice=False, zero=False, padding=12),
                 title=f"times as fast as ONNX Runtime fp32 ({record['batch']} rows, 95%)")  # fmt: skip
    y = altair.Y("lost:Q", title="points of accuracy lost, and at most (95%, one-sided)")
    color = altair.Color(
        "way:N", title=None,
        scale=altair.Scale(domain=list(_COLORS), range=list(_COLORS.values())),
    )  # fmt: skip
    size = altair.Size("smaller:Q", title="times as small", scale=altair.Scale(range=[30, 400]))
    bounds = base.mark_rule(opacity=0.4).encode(x=x, y=y, y2="most:Q", color=color)
    spans = base.mark_rule(opacity=0.4).encode(x="slow:Q", x2="fast:Q", y=y, color=color)
    dots = base.mark_circle(opacity=0.9).encode(
        x=x, y=y, color=color, size=size, tooltip=["model:N"]
    )
    title = f"{record['case']}, split {record['seed']}: {record['test']:,} test rows"
    return altair.layer(bounds, spans, dots).properties(width=380, height=300, title=title)


def chart(records: list[dict[str, Any]]) -> altair.ConcatChart:
    """Returns one panel for each case."""
    return altair.concat(*(panel(record) for record in records), columns=3)


if __name__ == "__main__":
    pages.picture(chart)
