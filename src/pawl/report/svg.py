"""Vega-Lite specs into SVG that belongs to the page.

The specs name their colors as the page's CSS variables (`var(--accent)`), which Vega passes
through, so one drawing follows the light, the dark and the printed theme.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

_VEGA_LITE = "6.4"
_COLORS = """
svg { --ink: #1d2125; --muted: #62686f; --faint: #b9bdc1; --line: #e6e3dd; --neutral: #7b8289;
  --accent: #0b7261; --bad: #b0524a; --paper: #fdfcfa; background: var(--paper);
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6e4e0; --muted: #9ba1a7; --faint: #565c62;
  --line: #2e3236; --neutral: #8b9299; --accent: #4fb8a3; --bad: #d9857d; --paper: #16181a; } }
"""
"""The page's, in `templates/report.css`."""
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


def standalone(svg: str) -> str:
    """Returns an inline drawing as the text of a file, with the page's colors, light and dark."""
    root = ElementTree.fromstring(svg)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    style = ElementTree.Element("style")
    style.text = _COLORS
    root.insert(0, style)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


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
