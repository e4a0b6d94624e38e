"""The front of trade-offs, live, where a campaign searches for several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pawl.report.series import domain_of
from pawl.report.text import count, number
from pawl.serving import charting, drawing
from pawl.serving.drawing import Axis, Dot
from pawl.serving.reading import Asked, Known, Trial
from pawl.serving.telling import described, metric, scored, shared, told, tone

_LISTED, _LOG_FROM = 12, 30.0
_COSTS = {"size": ("parameters", "Parameters"), "latency": ("operations", "Operations of a row")}


def objectives(known: Known) -> list[str]:
    """Returns the names of what is searched for; fewer than two where it is the score alone."""
    found = known.identity.get("options", {}).get("objectives")
    return [str(name) for name in found] if isinstance(found, list) else []


def undominated(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Returns the places of points that no other is better than in all; larger is better.

    >>> undominated([(1.0, -5.0), (0.9, -2.0), (0.8, -3.0), (0.9, -2.0)])
    [0, 1]
    """
    kept: list[int] = []
    # Who is better in all comes before, and so among those kept.
    for place in sorted(range(len(points)), key=lambda at: points[at], reverse=True):
        mine = points[place]
        if not any(all(a >= b for a, b in zip(points[k], mine, strict=True)) for k in kept):
            kept.append(place)
    return sorted(kept)


def front(asked: Asked) -> dict[str, Any]:
    """Returns the trials that ended by score and cost, and the front."""
    known, names = asked.known, objectives(asked.known)
    trials = [
        t for t in scored(charting.searched(known)) if t.cost and tone(t) == "completed"
    ]  # fmt: skip
    costs = [_COSTS[name] for name in names if name in _COSTS]
    if len(names) < 2 or not costs or not trials:
        return {"front": None}
    sign, common = (1.0 if known.maximize else -1.0), shared(known.trials)
    places = undominated(
        [(sign * (t.score or 0.0), *(-float(t.cost[key]) for key, _ in costs)) for t in trials]
    )
    best = sorted((trials[place] for place in places), key=lambda t: -sign * (t.score or 0.0))
    pictures = _drawn(trials, best, known, costs[0])
    return {
        "id": asked.campaign.id,
        "front": pictures,
        "metric": metric(known),
        "better": "higher" if known.maximize else "lower",
        "axis": costs[0][1].lower(),
        "names": ", ".join(names),
        "several": len(costs) > 1,
        "told": f"{count(len(best), 'trial')} of {len(trials):,} that ended",
        "heads": [title for _, title in costs],
        "rows": [
            (
                t.id,
                number(t.score, 4),
                [f"{t.cost[key]:,}" for key, _ in costs],
                described(t, common),
            )
            for t in best[:_LISTED]
        ],
    }


def _drawn(
    trials: Sequence[Trial], best: Sequence[Trial], known: Known, cost: tuple[str, str]
) -> tuple[str, str]:
    key, title = cost
    common, kept = shared(known.trials), {t.id for t in best}
    places = {t.id: float(max(1, t.cost[key])) for t in trials}
    low, high = domain_of(
        [t.score for t in trials if t.score is not None],
        "maximize" if known.maximize else "minimize",
    )
    pad = 0.03 * (high - low)
    few, many = min(places.values()), max(places.values())
    if wide := many / few > _LOG_FROM:
        few, many = few / 1.1, many * 1.1
    axes = (
        Axis(low=few, high=max(many, few + 1.0), title=title.lower(), logarithmic=wide),
        Axis(low=low - pad, high=high + pad),
    )
    dots = [
        Dot(id=t.id, x=places[t.id], y=t.score, tone="top" if t.id in kept else "completed",
            text=f"{told(t, known, common)}; {t.cost[key]:,} {title.lower()}")
        for t in trials
    ]  # fmt: skip
    steps = sorted((places[t.id], t.score or 0.0) for t in best) if len(best) > 1 else []
    label = f"{metric(known)} over {title.lower()} of {count(len(trials), 'trial')}, "
    label += f"{len(best)} of them on the front"
    large, phone = (
        drawing.scatter(dots, steps, axes, label=label, width=width)
        for width in (drawing.WIDE, drawing.PHONE)
    )
    return large, phone
