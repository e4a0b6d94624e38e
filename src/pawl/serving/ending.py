"""What a finished campaign has left: its outcome, and the files that may be opened, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pawl.ledger import TRAINED
from pawl.report import outcome, page, story, verdicts, words
from pawl.report.filling import Tile
from pawl.report.summary import Summary
from pawl.report.text import (
    DASH,
    capital,
    clean,
    finite,
    humanize,
    interval_text,
    number,
    p_text,
    percent,
    places,
)
from pawl.serving.reading import Campaign, Known
from pawl.serving.telling import metric

_FILES = {
    "report": ("report.html", "Report"),
    "summary": ("summary.json", "Summary as JSON"),
    "recipe": ("recipe.toml", "Recipe"),
    "settings": ("settings.json", "Settings"),
    "trained": (TRAINED, "Result as JSON"),
    "diagnosis": ("diagnosis.json", "Diagnosis as JSON"),
    "card": ("bundle/card.md", "Card of the bundle"),
}
_EXPLAINED = "explain"
_MOST_EXPLAINED, _MOST_FEATURES = 5, 8
_MOST_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was found: headline, statement, numbers, verdicts, stories, members of a blend."""

    headline: str
    statement: str
    seen: bool
    tiles: list[Tile]
    verdicts: list[tuple[str, str, str, str, str, str]]
    stories: list[story.Story]
    remarks: list[story.Story]
    members: list[tuple[str, str, str, str]]


def ended(known: Known) -> Ended | None:
    """Returns what a campaign found; `None` before it is finished, or if another version wrote it."""
    if known.summary is None:
        return None
    try:
        if known.single:
            return _training(known) if "value" in known.summary else None
        if known.summary.get("what") == "function":
            return _function(known.summary)
        return _campaign(Summary.model_validate(known.summary))
    except (ValidationError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _campaign(summary: Summary) -> Ended:
    """Returns the outcome of a campaign over models."""
    return Ended(
        headline=outcome.headline(summary),
        statement=words.standfirst(summary),
        seen=outcome.seen(summary),
        tiles=page.tiles(summary),
        verdicts=[
            (each.name, each.verdict, each.effect, each.interval, each.p, each.reason)
            for each in verdicts.rows(summary)
        ],
        stories=story.stories(summary),
        remarks=story.remarks(summary),
        members=_members(summary),
    )


def _members(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Returns a blend's members: name, share, what each adds, recipe."""
    found = []
    for each in summary.parts.get("ensemble", {}).get("members", []):
        added = DASH
        if each.get("effect"):
            low, high = each["effect"]["interval"]
            digits = places((low, high), each["effect"]["value"])
            added = (
                f"{number(each['effect']['value'], digits, signed=True)} "
                f"({interval_text((low, high), digits, signed=True)})"
            )
        name = capital(humanize(str(each["name"])))
        found.append((name, percent(each["share"]), added, clean(str(each["recipe"]))))
    return found


def _function(summary: dict[str, Any]) -> Ended:
    """Returns the outcome of a campaign over a function."""
    proven, delivered = bool(summary.get("proven")), summary.get("delivered")
    headline = "Proven." if proven else "Likely better, not proven."
    if delivered == "baseline":
        headline = "No proven gain."
    rows = []
    for each in summary.get("changes", []):
        effect = each.get("effect")
        cells = (DASH, "", DASH)
        if effect and finite(effect["value"]):
            low, high = effect["interval"]
            digits = places((low, high), effect["value"])
            cells = (
                number(effect["value"], digits, signed=True),
                interval_text((low, high), digits, signed=True),
                p_text(effect["p_value"]),
            )
        change = f"from {each['before']} to {each['after']}"
        rows.append((humanize(str(each["name"])), str(each["verdict"]), *cells, clean(change)))
    return Ended(
        headline=headline, statement=clean(str(summary.get("statement", ""))), seen=proven, tiles=[],
        verdicts=rows, stories=[], remarks=[], members=[],
    )  # fmt: skip


def _training(known: Known) -> Ended:
    """Returns the outcome of one training."""
    assert known.summary is not None
    value, (low, high) = float(known.summary["value"]), known.summary["interval"]
    digits = places((low, high), value)
    said = f"{metric(known)} {number(value, digits)} on the test rows"
    said += f" (95% interval {interval_text((low, high), digits)})."
    found = [str(each["evidence"]) for each in known.summary.get("findings", [])]
    return Ended(
        headline="Trained.", statement=clean(" ".join([said, *found])), seen=False, tiles=[],
        verdicts=[], stories=[], remarks=[], members=[],
    )  # fmt: skip


def files(campaign: Campaign) -> list[tuple[str, str]]:
    """Returns the names and titles of the files that may be opened."""
    return [(name, title) for name, (_, title) in _FILES.items() if path_of(campaign, name)]


def path_of(campaign: Campaign, name: str) -> Path | None:
    """Returns a file of a campaign by its name; `None` if it has none, or if it lies elsewhere."""
    stem, _, number_ = name.partition("-")
    if name in _FILES:
        path = campaign.folder / _FILES[name][0]
    elif stem == _EXPLAINED and number_.isdecimal() and len(number_) < 3:
        found = _explained(campaign)
        if int(number_) >= len(found):
            return None
        path = found[int(number_)]
    else:
        return None
    try:
        real, root = path.resolve(strict=True), campaign.folder.resolve(strict=True)
        small = real.is_file() and real.stat().st_size <= _MOST_BYTES
    except OSError:
        return None
    return real if small and real.is_relative_to(root) else None


def explained(campaign: Campaign) -> list[dict[str, Any]]:
    """Returns the explanations in a campaign's folder: where, and what matters most by them."""
    listed = []
    for place, path in enumerate(_explained(campaign)):
        name = f"{_EXPLAINED}-{place}"
        if path_of(campaign, name) is None:
            continue
        where = clean(str(path.parent.relative_to(campaign.folder)))
        listed.append({"name": name, "where": where, "features": _features(path)})
    return listed


def _explained(campaign: Campaign) -> list[Path]:
    pages = [*campaign.folder.glob("explain.html"), *campaign.folder.glob("*/explain.html")]
    return sorted(pages)[:_MOST_EXPLAINED]


def _features(path: Path) -> list[tuple[str, str, str]]:
    """Returns columns with what shuffling them costs, and its interval, the most first."""
    try:
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        features = known["importance"]["features"]
        rows = sorted(features, key=lambda each: -float(each["value"]))[:_MOST_FEATURES]
        return [
            (
                clean(str(each["name"])),
                number(float(each["value"]), signed=True),
                interval_text(
                    (float(each["interval"][0]), float(each["interval"][1])), signed=True
                ),
            )
            for each in rows
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []
