"""Techniques as people read them: for the command line and the generated documentation."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from pawl.errors import RecipeError, did_you_mean
from pawl.techniques import STAGES, Technique, technique, techniques
from pawl.techniques.measured import Effect, effects


def select(name: str | None = None, stage: str | None = None) -> list[Technique]:
    """Returns one technique by name, those of a stage, or all.

    Raises:
        RecipeError: No such technique or stage.
    """
    if name is not None:
        return [technique(name)]
    stages = [s.value for s in STAGES]
    if stage is not None and stage not in stages:
        raise RecipeError(
            f"unknown stage {stage!r}{did_you_mean(stage, stages)}; there are: {', '.join(stages)}"
        )
    return [t for t in techniques() if stage in (None, t.stage.value)]


def describe(t: Technique) -> dict[str, Any]:
    """Returns a technique's record as plain values."""
    return {
        "name": t.name,
        "stage": t.stage.value,
        "family": t.family,
        "summary": t.summary,
        "reference": t.reference,
        "group": t.group,
        "conflicts": sorted(t.conflicts),
        "settings": [
            {
                "name": key,
                "default": field.default,
                "range": _range(field),
                "description": field.description,
                "memberwise": key in t.memberwise,
            }
            for key, field in t.settings.model_fields.items()
        ],
        "effects": [{**one._asdict(), "gain": one.gain} for one in effects().get(t.name, ())],
    }


def _range(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    low = next((m.ge for m in field.metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in field.metadata if isinstance(m, annotated_types.Le)), None)
    if low is None and high is None:
        return "a list"
    extra = field.json_schema_extra
    log = isinstance(extra, dict) and bool(extra.get("log"))
    return f"{low} to {high}" + (" (log scale)" if log else "")


def markdown() -> str:
    """Returns the reference page of all techniques (`docs/techniques.md` is this)."""
    lines = [
        "# Techniques",
        "Generated from the records by `python -m pawl.listing > docs/techniques.md`. Settings marked *",
        "may differ between the members of one fused population.",
        "",
        "*Measured* is the gain of the baseline with the technique at its defaults over the baseline,",
        "with its 95% interval over ten pairs; positive is better whatever the metric",
        "(`benchmarks/techniques.py`). Intervals are not corrected for how many there are: of twenty",
        "techniques that do nothing one leaves zero out.",
    ]
    for stage in STAGES:
        lines += ["", f"## Stage: {stage.value}"]
        for t in select(stage=stage.value):
            record = describe(t)
            group = f" Group: {t.group}." if t.group else ""
            conflicts = f" Not with: {', '.join(record['conflicts'])}." if t.conflicts else ""
            lines += ["", f"### {t.name}", f"{t.summary}{group}{conflicts}", f"*{t.reference}*"]
            if record["settings"]:
                lines += ["", "| setting | default | range | meaning |", "|---|---|---|---|"]
            for s in record["settings"]:
                star = "\\*" if s["memberwise"] else ""
                name, default = s["name"] + star, s["default"]
                lines.append(f"| {name} | {default} | {s['range']} | {s['description']} |")
            if t.name in effects():
                lines += ["", f"*Measured*: {'; '.join(map(_told, effects()[t.name]))}."]
    return "\n".join(lines) + "\n"


def _told(one: Effect) -> str:
    """Returns one measurement in words."""
    return f"{one.data}, {one.metric} {one.baseline:.4g}: {one.gain}"


if __name__ == "__main__":
    print(markdown(), end="")
