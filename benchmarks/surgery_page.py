"""Writes the page on surgery from what `surgery.py` has printed.

python benchmarks/surgery_page.py > docs/surgery.md
"""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).resolve().parent


def page() -> str:
    """Returns the page, in Markdown."""
    found = json.loads((HERE / "results" / "surgery.json").read_text(encoding="utf-8"))
    ready = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown
    )
    ready.filters["percent"] = lambda share: f"{100 * share:.0f}%"
    return ready.get_template("surgery.md.j2").render(found)


if __name__ == "__main__":
    print(page(), end="")
