"""Pages of single trials: the table of all, one of them, two side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pawl.report.text import DASH, capital, clean, duration, humanize, number
from pawl.serving import charting, layers
from pawl.serving.reading import Asked, Trial
from pawl.serving.telling import (
    COLUMNS,
    PER_PAGE,
    Order,
    best_of,
    flat,
    in_order,
    metric,
    row,
    setting_name,
    shared,
    told,
    value_text,
)

_LISTED = 10


def table(asked: Asked) -> dict[str, Any]:
    """Returns a page of the table of all trials."""
    known, order = asked.known, Order.of(asked.query, asked.known)
    trials = in_order(known, order)
    pages = max(1, math.ceil(len(trials) / PER_PAGE))
    page = min(max(1, order.page), pages)
    common = shared(known.trials)
    best = best_of(charting.searched(known), maximize=known.maximize)
    return {
        "id": asked.campaign.id,
        "order": order,
        "columns": list(COLUMNS.items()),
        "phases": list(dict.fromkeys(t.phase for t in known.trials)),
        "rows": [row(t, common, best) for t in trials[(page - 1) * PER_PAGE : page * PER_PAGE]],
        "total": len(trials),
        "page": page,
        "pages": pages,
        "humanize": humanize,
    }


def trial(asked: Asked, one: Trial) -> dict[str, Any]:
    """Returns a trial with its curves, and those of the same recipe under other seeds."""
    known, common = asked.known, shared(asked.known.trials)
    same = [t for t in known.trials if t.recipe_id == one.recipe_id and t.epochs == one.epochs]
    found = asked.campaign.curves([one.id, *(t.id for t in same)])
    sets = [("strong", f"trial {one.id}", [found.get(one.id, [])])]
    if len(same) > 1:
        several = [found[t.id] for t in same if t.id in found]
        sets.insert(0, ("several", f"median of {len(several)} trainings", several))
    facts = [
        ("Phase", humanize(one.phase)), ("For", clean(one.role)), ("Status", clean(one.status)),
        (f"Validation {metric(known)}", number(one.score, 4)),
        (f"Held out {metric(known)}", number(one.holdout, 4)),
        ("Epochs, steps", f"{one.epochs:,}, {one.steps:,}"),
        ("Took", duration(one.seconds)), ("Seed", str(one.seed)),
        ("Recipe", one.recipe_id), ("Why", clean(one.reason)),
    ]  # fmt: skip
    rest = [t for t in same if t.id != one.id]
    best = best_of(charting.searched(known), maximize=known.maximize)
    other = best.id if best and best.id != one.id else ""
    return {
        "id": asked.campaign.id,
        "trial": one.id,
        "title": capital(told(one, known, common).partition(": ")[2]),
        "facts": [(name, text) for name, text in facts if text and text != DASH],
        "curves": charting.curves(sets, known),
        "seeds": len(same),
        "layers": layers.of_trial(asked.campaign.layers(one.id)),
        "same": [row(t, common, best) for t in rest[:_LISTED]],
        "settings": _settings([one]),
        "other": other,
    }


def comparison(asked: Asked, pair: Sequence[Trial]) -> dict[str, Any]:
    """Returns two trials side by side: scores, curves, and the settings that differ first."""
    known, common = asked.known, shared(asked.known.trials)
    found = asked.campaign.curves([t.id for t in pair])
    tones = ("first", "second")
    sets = [
        (tone_, f"trial {t.id}", [found.get(t.id, [])])
        for tone_, t in zip(tones, pair, strict=True)
    ]
    best = best_of(charting.searched(known), maximize=known.maximize)
    rows = [row(t, common, best) for t in pair]
    facts = [
        (head, *(getattr(each, name) for each in rows))
        for name, head in COLUMNS.items() if name != "trial"
    ]  # fmt: skip
    settings = _settings(pair)
    return {
        "id": asked.campaign.id,
        "pair": [t.id for t in pair],
        "facts": facts,
        "curves": charting.curves(sets, known),
        "differing": [each for each in settings if each[1] != each[2]],
        "alike": [each for each in settings if each[1] == each[2]],
    }


def _settings(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Returns settings by name, with the value of each trial."""
    tables = [flat(t.recipe) for t in trials]
    names = dict.fromkeys(name for each in tables for name in each)
    return [
        (setting_name(name), *(value_text(each.get(name)) for each in tables)) for name in names
    ]
