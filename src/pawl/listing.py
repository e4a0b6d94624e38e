"""Techniques as people read them: for the command line and the generated documentation."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from pawl.errors import RecipeError, did_you_mean
from pawl.needs import needs
from pawl.techniques import (
    STAGES,
    BatchTechnique,
    ChangingTechnique,
    ScheduleTechnique,
    Stage,
    Technique,
    excludes,
    technique,
    techniques,
)
from pawl.techniques.measured import Effect, effects
from pawl.techniques.record import fits_every_task


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
    asked: dict[str, str | None] = {} if t.fits is fits_every_task else needs(t)
    return {
        "name": t.name,
        "stage": t.stage.value,
        "family": t.family,
        "summary": t.summary,
        "reference": t.reference,
        "group": t.group,
        "conflicts": sorted(t.conflicts),
        "excludes": _excluded(t),
        "fits_every_task": not any(asked.values()),
        "fits": [sort for sort, reason in asked.items() if reason is None],
        "needs": list(dict.fromkeys(reason for reason in asked.values() if reason)),
        "searched": t.searched,
        "notes": notes(t),
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
        "unmeasured": "nothing: at its defaults it changes nothing"
        if isinstance(t, ChangingTechnique)
        else "not yet",
    }


def _excluded(t: Technique) -> list[str]:
    """Returns what a technique cannot be combined with; learners, which replace all, by no name."""
    others = [
        o for o in techniques() if o is not t and (o.stage is not Stage.FIT or o.stage is t.stage)
    ]
    return [other.name for other in others if excludes(t, other)]


def notes(t: Technique) -> str:
    """Returns what a technique's function says of itself: its formula, and what to know of it.

    Arguments and examples are left out.
    """
    told = inspect.getdoc(t.apply) or ""
    return re.split(r"\n(?:Args|Returns|Raises|Example|Shape legend):\n?", told)[0].strip()


def _range(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    low = next((m.ge for m in field.metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in field.metadata if isinstance(m, annotated_types.Le)), None)
    if low is None and high is None:
        return "a list"
    extra = field.json_schema_extra
    log = isinstance(extra, dict) and bool(extra.get("log"))
    choices = extra.get("choices") if isinstance(extra, dict) else None
    searched = f" (searched: {str(choices)[1:-1]})" if choices else ""
    return f"{low} to {high}" + (" (log scale)" if log else "") + searched


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
        "techniques that do nothing one leaves zero out. *Cost* is a training's time over that of the",
        "baseline, by the clock of a machine that had other work. What the baseline has is compared",
        "with one without it, AdamW with plain SGD, its batches with all rows in one step, and what",
        "AdamW excludes with Adam; `encoder` is a recurrence there, as its default is built anyway.",
        "*Needs* is what a technique says of small made-up tasks.",
        "",
        "Schedules and what augmentations do, as their own functions draw them (`scripts/draw.py`):",
        "",
        "![Learning rates over a training, by schedule](schedules.svg)",
        "",
        "![An image before and after each augmentation](augmentations.png)",
    ]
    for stage in STAGES:
        lines += ["", f"## Stage: {stage.value}"]
        for t in select(stage=stage.value):
            record = describe(t)
            group = f" Group: {t.group}." if t.group else ""
            conflicts = f" Not with: {', '.join(record['conflicts'])}." if t.conflicts else ""
            lines += ["", f"### {t.name}", f"{t.summary}{group}{conflicts}", f"*{t.reference}*"]
            lines += ["", *record["notes"].splitlines()]
            if record["needs"]:
                lines += ["", f"*Needs*: {needed(record)}"]
            if picture := _picture(t, record):
                lines += ["", f"*Picture*: [beside others of its kind]({picture})."]
            if record["settings"]:
                lines += ["", "| setting | default | range | meaning |", "|---|---|---|---|"]
            for s in record["settings"]:
                star = "\\*" if s["memberwise"] else ""
                name, default = s["name"] + star, shown(s["default"])
                lines.append(f"| {name} | {default} | {s['range']} | {s['description']} |")
            measured = "; ".join(map(_told, effects().get(t.name, ()))) or record["unmeasured"]
            lines += ["", f"*Measured*: {measured}."]
    return "\n".join(lines) + "\n"


def _picture(t: Technique, record: dict[str, Any]) -> str | None:
    """Returns the file of `docs/` in which `scripts/draw.py` draws a technique; `None` if in none."""
    if isinstance(t, ScheduleTechnique):
        return "schedules.svg"
    of_images = "images in color" in record["fits"] and "classes in a table" not in record["fits"]
    drawn = isinstance(t, BatchTechnique) and not t.alone and of_images
    return "augmentations.png" if drawn else None


def shown(default: Any) -> str:
    """Returns a setting's default in words."""
    return ", ".join(map(str, default)) or "none" if isinstance(default, tuple) else str(default)


def needed(record: dict[str, Any]) -> str:
    """Returns which made-up tasks a technique fits, and what it says of the others."""
    fits = ", ".join(record["fits"]) or "none of the tasks it was tried on"
    return f"fits {fits}; of others it says: {'; '.join(record['needs'])}."


def _told(one: Effect) -> str:
    """Returns one measurement in words."""
    return f"{one.data}, {one.metric} {one.baseline:.4g}: {one.gain}, cost {one.cost:.2g}x"


if __name__ == "__main__":
    print(markdown(), end="")
