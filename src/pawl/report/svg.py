"""Vega-Lite specs into SVG that belongs to the page.

The specs name their colors as the page's CSS variables (`var(--accent)`), which Vega passes
through, so one drawing follows the light, the dark and the printed theme.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

_VEGA_LITE = "6.4"
_DROP = frozenset({"class", "version", "pointer-events", "font-family", "role", "width", "height"})


def draw(spec: dict[str, Any], label: str) -> str:
    """Returns `spec` as one inline `<svg>` that scales with its container.

    The text keeps the page's font and stays selectable. Vega's own ARIA attributes would read out
    every mark; in their place the drawing is one image with `label`, and the page puts the numbers
    in a table beside it.
    """
    import vl_convert  # noqa: PLC0415 - starts a JavaScript engine; `pawl --help` must not pay

    drawn = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    root = ElementTree.fromstring(drawn)
    _tidy(root)
    root.set("role", "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(element: ElementTree.Element) -> None:
    element.tag = element.tag.rpartition("}")[2]  # inline SVG needs no namespace
    for child in list(element):
        is_backdrop = element.tag == "svg" and child.tag.endswith("rect")
        if is_backdrop or child.get("display") == "none" or child.get("class") == "background":
            element.remove(child)
        else:
            _tidy(child)
    keep_size = element.tag in {"rect", "image"}
    for name in list(element.attrib):
        sized = name in {"width", "height"} and keep_size
        if (name in _DROP and not sized) or name.startswith("aria-"):
            del element.attrib[name]
