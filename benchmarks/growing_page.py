"""Writes the page on growing trained networks from what `growing.py` has printed.

python benchmarks/growing_page.py > docs/growing.md
"""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).resolve().parent


def gain(interval: list[float]) -> str:
    """Returns a mean gain with its interval, bold where it is on one side of 0.

    >>> gain([0.01, -0.02, 0.04]), gain([0.01, 0.005, 0.015])
    ('+0.0100 (-0.0200 to +0.0400)', '**+0.0100** (+0.0050 to +0.0150)')
    """
    mean, low, high = interval
    mark = "**" if low > 0 or high < 0 else ""
    return f"{mark}{mean:+.4f}{mark} ({low:+.4f} to {high:+.4f})"


def page() -> str:
    """Returns the page, in Markdown."""
    found = json.loads((HERE / "results" / "growing.json").read_text(encoding="utf-8"))
    ready = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # it is Markdown
    )
    ready.filters["gain"] = gain
    return ready.get_template("growing.md.j2").render(found)


if __name__ == "__main__":
    print(page(), end="")
