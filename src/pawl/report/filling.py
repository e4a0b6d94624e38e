"""The pages' templates, filled: one for campaigns over models and over functions, one to explain."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = "templates"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A headline number."""

    name: str
    value: str
    detail: str
    accent: bool = False


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the page calls things.

    Attributes:
        arms: Over the figures of both arms.
        changes: Over the changes from the baseline.
        change: What one of them is.
        effect: Over the effects.
        equal_time: Whether effects at equal time are shown.
        unmeasured: Said where no change was measured.
        recipe: Over what is delivered.
        latency: Under the costs.
    """

    arms: str
    changes: str = "What helped, and what did not"
    change: str = "Technique"
    effect: str = "Effect, equal steps"
    equal_time: bool = True
    unmeasured: str = "No technique's effect was measured within the budget."
    recipe: str
    latency: str = "Latency is the median in ONNX Runtime on this machine."


def fill(page: str = "report.html.j2", style: str = "", **context: Any) -> str:
    """Returns a page as HTML text; every text in the context is escaped but for the charts.

    Args:
        page: The template.
        style: A style sheet beside the report's.
        context: What the template names.
    """
    from markupsafe import Markup  # noqa: PLC0415 - `pawl --help` must not pay for it

    folder = resources.files("pawl.report") / _TEMPLATES
    sheets = ["report.css", *([style] if style else [])]
    css = "\n".join((folder / sheet).read_text(encoding="utf-8") for sheet in sheets)
    return str(environment().get_template(page).render(css=Markup(css), **context))


def environment(*packages: str) -> jinja2.Environment:
    """Returns what fills templates, escaping every text but charts.

    Args:
        packages: Rooms whose templates come before the report's.
    """
    import jinja2  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    folders = [resources.files(name) / _TEMPLATES for name in (*packages, "pawl.report")]

    def source(name: str) -> str | None:
        found = (folder / name for folder in folders if (folder / name).is_file())
        return next((file.read_text(encoding="utf-8") for file in found), None)

    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(source),
    )
    made.filters["drawing"] = Markup
    return made
