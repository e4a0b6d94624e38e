"""How trials are told: names, texts, tables, what differs between them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from pawl.report.text import DASH, capital, clean, duration, finite, humanize, metric_name, number
from pawl.serving.reading import Known, Trial

SEARCHED = ("search", "learners")
PER_PAGE = 50
Column = Literal["trial", "phase", "score", "holdout", "status", "epochs", "steps", "seconds"]
COLUMNS: dict[Column, str] = {
    "trial": "Trial",
    "phase": "Phase",
    "score": "Validation",
    "holdout": "Held out",
    "status": "Status",
    "epochs": "Epochs",
    "steps": "Steps",
    "seconds": "Took",
}
_TONES = {"completed": "completed", "stopped": "completed", "pruned": "pruned"}
_SHOWN = 4


@dataclass(frozen=True)
class Order:
    """How a table of trials is sorted: the trials shown, by which column, from which end, which page."""

    phase: str = ""
    column: Column = "trial"
    down: bool = True
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str], known: Known) -> Order:
        """Returns what an address asks for; what is not known there is left at its default."""
        phase = query.get("phase", "")
        column: Column = next((c for c in COLUMNS if c == query.get("sort")), "trial")
        down = query.get("order", "down") != "up"
        page = query.get("page", "1")
        return cls(
            phase=phase if phase in {t.phase for t in known.trials} else "",
            column=column, down=down,
            page=int(page) if page.isdecimal() and len(page) < 7 else 1,
        )  # fmt: skip

    def query(self, **changed: Any) -> str:
        """Returns the address's query for this order, or one with changes."""
        new = {"phase": self.phase, "sort": self.column, "order": "down" if self.down else "up"}
        new |= {"page": str(self.page)} | {name: str(value) for name, value in changed.items()}
        return urlencode({name: value for name, value in new.items() if value})


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial in a table."""

    id: int
    phase: str
    score: str
    holdout: str
    status: str
    tone: str
    epochs: str
    steps: str
    seconds: str
    recipe: str
    best: bool


def tone(trial: Trial) -> str:
    """Returns how a trial ended, as charts color it."""
    return _TONES.get(trial.status, "failed")


def metric(known: Known) -> str:
    """Returns the metric's usual spelling."""
    return capital(metric_name(known.metric)) if known.metric else "Score"


def scored(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the trials with a score that counts."""
    return [t for t in trials if finite(t.score) and tone(t) != "failed"]


def best_of(trials: Iterable[Trial], *, maximize: bool) -> Trial | None:
    """Returns the completed trial with the best validation score, the first of equals."""
    done = [t for t in scored(trials) if tone(t) == "completed"]
    sign = 1.0 if maximize else -1.0
    return max(done, key=lambda trial: sign * (trial.score or 0.0), default=None)


@dataclass(frozen=True)
class Shared:
    """What all networks of a search have in common, and what differs between these.

    Attributes:
        techniques: In all of their recipes, however set.
        varying: Settings of these with several values, those with the most first.
    """

    techniques: frozenset[str]
    varying: tuple[str, ...]


def shared(trials: Sequence[Trial]) -> Shared:
    """Returns what the networks of the search have in common."""
    recipes = [t.recipe for t in trials if t.phase == "search"]
    if not recipes:
        return Shared(frozenset(), ())
    names = set.intersection(*(set(recipe) for recipe in recipes))
    values: dict[str, set[str]] = {}
    for recipe in recipes:
        for key, value in flat({name: recipe[name] for name in recipe if name in names}).items():
            values.setdefault(key, set()).add(repr(value))
    order = sorted((k for k in values if len(values[k]) > 1), key=lambda k: -len(values[k]))
    return Shared(frozenset(names), tuple(order))


def described(trial: Trial, common: Shared) -> str:
    """Returns in a few words what is particular about a trial's recipe."""
    told = [setting_name(name) for name in trial.recipe if name not in common.techniques]
    settings = flat(trial.recipe)
    varying = [name for name in common.varying if name in settings]
    more = len(told) + len(varying) - _SHOWN
    room = max(0, _SHOWN - len(told))
    told += [f"{setting_name(name)} {value_text(settings[name])}" for name in varying[:room]]
    return ", ".join(told[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "as it is"


def told(trial: Trial, known: Known, common: Shared) -> str:
    """Returns a trial in a line, for who points at it."""
    score = f"{metric(known)} {number(trial.score, 4)}" if finite(trial.score) else "no score"
    return f"Trial {trial.id}: {score}, {trial.status}; {described(trial, common)}"


def value_text(value: object) -> str:
    """Returns a setting's value."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    return DASH if value is None else clean(str(value))


def flat(recipe: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a recipe's settings by `technique.setting`; a technique without any is on."""
    found: dict[str, Any] = {}
    for name, settings in recipe.items():
        if not settings:
            found[name] = True
        for key, value in settings.items():
            found[key if name == "settings" else f"{name}.{key}"] = value
    return found


@functools.lru_cache(4096)
def setting_name(name: str) -> str:
    """Returns a setting as people read it."""
    technique, _, setting = name.partition(".")
    words = humanize(technique).split()
    if setting and words[-1:] != humanize(setting).split():
        words += humanize(setting).split()
    return " ".join(words)


def row(trial: Trial, common: Shared, best: Trial | None) -> Row:
    """Returns a trial as a row."""
    return Row(
        id=trial.id,
        phase=humanize(trial.phase),
        score=number(trial.score, 4),
        holdout=number(trial.holdout, 4),
        status=clean(trial.status),
        tone=tone(trial),
        epochs=f"{trial.epochs:,}" if trial.epochs else DASH,
        steps=f"{trial.steps:,}" if trial.steps else DASH,
        seconds=duration(trial.seconds),
        recipe=described(trial, common),
        best=best is not None and trial.id == best.id,
    )


def in_order(known: Known, order: Order) -> list[Trial]:
    """Returns the trials that an order shows, in it; those without a value come last."""
    trials = [t for t in known.trials if not order.phase or t.phase == order.phase]
    attribute = "id" if order.column == "trial" else order.column

    def key(trial: Trial) -> Any:
        return getattr(trial, attribute)

    there = [t for t in trials if key(t) is not None]
    there.sort(key=key, reverse=order.down)
    return there + [t for t in trials if key(t) is None]
