"""Pages (`results/NAME.json` through `NAME.md.j2`) and pictures of what a benchmark has printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).resolve().parent


def page(
    name: str,
    *,
    beside: Mapping[str, str] | None = None,
    trim_blocks: bool = False,
    **filters: Callable[..., str],
) -> str:
    """Returns a benchmark's page, in Markdown.

    Args:
        name: The benchmark's.
        beside: Other benchmarks' names, by what the template calls what they have printed.
        trim_blocks: Whether the line's end behind a block of the template goes with it.
        filters: What the template uses, by name.
    """
    found = _printed(name)
    found |= {called: _printed(other) for called, other in (beside or {}).items()}
    ready = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=trim_blocks,
        autoescape=False,  # it is Markdown
    )
    ready.filters |= filters
    return ready.get_template(f"{name}.md.j2").render(found)


def picture(chart: Callable[[Any], Any]) -> None:
    """Draws what a benchmark has printed, as the command line says: `RESULTS.json PICTURE.svg`.

    Args:
        chart: Makes an Altair chart of it.
    """
    source, target = map(Path, sys.argv[1:3])
    drawn = chart(json.loads(source.read_text(encoding="utf-8")))
    target.write_text(vl_convert.vegalite_to_svg(drawn.to_dict()), encoding="utf-8")


def _printed(name: str) -> dict[str, Any]:
    text = (HERE / "results" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
