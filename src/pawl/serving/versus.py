"""Two campaigns side by side: how they went, what they found, what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pawl.report.text import DASH, clean, humanize, interval_text, number, places
from pawl.serving import charting, drawing
from pawl.serving.drawing import Axis, Line
from pawl.serving.reading import Campaign, Known
from pawl.serving.telling import best_of, metric, scored, tone, value_text
from pawl.serving.views import card

_TONES = ("first", "second")
Rows = list[tuple[str, ...]]


def versus(campaigns: Sequence[Campaign]) -> dict[str, Any]:
    """Returns what a page on two campaigns shows."""
    knowns = [campaign.look()[0] for campaign in campaigns]
    cards = [card(campaign, known) for campaign, known in zip(campaigns, knowns, strict=True)]
    options = [_options(known) for known in knowns]
    names = dict.fromkeys(name for each in options for name in each)
    settings = [(name, *(each.get(name, DASH) for each in options)) for name in names]
    techniques = [_techniques(known) for known in knowns]
    judged = dict.fromkeys(name for each in techniques for name in each)
    return {
        "cards": cards,
        "warnings": _warnings(knowns),
        "facts": _facts(cards, knowns),
        "verdicts": [(humanize(n), *(each.get(n, DASH) for each in techniques)) for n in judged],
        "differing": [each for each in settings if each[1] != each[2]],
        "chart": _chart(knowns, [str(each["label"]) for each in cards]),
        "metric": metric(knowns[0]),
    }


def _warnings(knowns: Sequence[Known]) -> list[str]:
    """Returns why the scores of two campaigns cannot be held against each other."""
    one, two = knowns
    found = []
    prints = [known.identity.get("fingerprint") for known in knowns]
    if one.metric != two.metric:
        found.append("They have different metrics: their scores do not compare.")
    elif None not in prints and prints[0] != prints[1]:
        found.append("They are of different data: their scores do not compare.")
    if len({known.identity.get("options", {}).get("seed") for known in knowns}) > 1 and not found:
        found.append("They have different seeds, and so other rows to validate on.")
    return found


def _facts(cards: Sequence[dict[str, Any]], knowns: Sequence[Known]) -> Rows:
    found: Rows = [
        (head, *(str(each[key]) for each in cards))
        for head, key in (
            ("State", "state_text"), ("Trained", "trained"), ("Metric", "metric"),
            ("Best, validation", "best"), ("Elapsed", "elapsed"),
        )
    ]  # fmt: skip
    arms = [(known.summary or {}) for known in knowns]
    for head, part in (("Baseline, test rows", "baseline"), ("Final, test rows", "final")):
        found.append((head, *(_measured(each.get(part)) for each in arms)))
    found.append(("Gain, test rows", *(_measured(each.get("gain"), signed=True) for each in arms)))
    proven = {True: "proven", False: "not proven"}
    found.append(("Claim", *(proven.get(each.get("proven", ""), DASH) for each in arms)))
    return [row for row in found if set(row[1:]) != {DASH}]


def _measured(part: Any, *, signed: bool = False) -> str:
    try:
        low, high = (float(end) for end in part["interval"])
        digits = places((low, high), float(part["value"]))
        span = interval_text((low, high), digits, signed=signed)
        return f"{number(float(part['value']), digits, signed=signed)} ({span})"
    except (LookupError, TypeError, ValueError):
        return DASH


def _techniques(known: Known) -> dict[str, str]:
    """Returns verdicts and effects by technique, as far as a summary has them."""
    found = {}
    for each in (known.summary or {}).get("techniques", []):
        try:
            effect = each["effect"]
            told = "" if effect is None else f" {number(float(effect), signed=True)}"
            found[str(each["name"])] = clean(f"{each['verdict']}{told}")
        except (LookupError, TypeError, ValueError):
            continue
    return found


def _options(known: Known) -> dict[str, str]:
    options = known.identity.get("options", {})
    named = {
        humanize(str(name)): ", ".join(map(value_text, value))
        if isinstance(value, list)
        else value_text(value)
        for name, value in options.items()
    }
    source = known.identity.get("source") or known.identity.get("name")
    return {"source": value_text(source), **{n: v for n, v in named.items() if n != "baseline"}}


def _chart(knowns: Sequence[Known], labels: Sequence[str]) -> str | None:
    """Returns the best validation score so far over campaign seconds, of both."""
    if knowns[0].metric != knowns[1].metric:
        return None
    sign = 1.0 if knowns[0].maximize else -1.0
    drawn = []
    for known, tone_, label in zip(knowns, _TONES, labels, strict=True):
        points: list[tuple[float, float]] = []
        for trial in scored(charting.searched(known)):
            score = float(trial.score or 0.0)
            if tone(trial) != "completed":
                continue
            if not points or sign * score > sign * points[-1][1]:
                points += [(trial.ended, points[-1][1])] if points else []
                points.append((trial.ended, score))
        best = best_of(charting.searched(known), maximize=known.maximize)
        if points and best is not None:
            points.append((max(points[-1][0], known.elapsed), points[-1][1]))
            drawn.append(Line(points=points, tone=tone_, text=clean(label)))
    if not drawn:
        return None
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    pad = 0.04 * (max(ys) - min(ys)) or 0.05 * abs(max(ys)) or 0.5
    axes = (
        Axis(low=0.0, high=max(xs), title="campaign seconds"),
        Axis(low=min(ys) - pad, high=max(ys) + pad),
    )
    told = "; ".join(f"{line.text} {number(line.points[-1][1], 4)}" for line in drawn)
    label = f"Best {metric(knowns[0])} so far over campaign seconds: {told}"
    return drawing.lines(drawn, axes, label=label, width=drawing.WIDE)
