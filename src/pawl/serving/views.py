"""What each part of a page shows, as values for its template.

A part is rendered alone when only it has changed; a page is its parts, one below the other. All texts
are plain: templates escape them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import fmean
from typing import Any

from pawl.report.text import DASH, clean, count, duration, finite, humanize, number
from pawl.serving import charting, fronts
from pawl.serving.ending import ended, explained, files
from pawl.serving.reading import Asked, Campaign, Known, Trial
from pawl.serving.telling import (
    SEARCHED,
    best_of,
    described,
    metric,
    row,
    shared,
)

STEPS = (
    ("Prepare", {"read", "task", "time", "baseline"}),
    ("Search", {"learners", "search"}),
    ("Choose", {"race", "screen", "retune"}),
    ("Confirm", {"confirm", "equal time"}),
    ("Test", {"test"}),
    ("Deliver", {"deploy", "report", "claims"}),
)
_QUIET_SECONDS = 20.0
_LISTED = 10
_STATES = {
    "running": "Running",
    "stopping": "Ending",
    "finished": "Finished",
    "interrupted": "Interrupted",
    "unreadable": "Cannot be read",
}


def card(campaign: Campaign, known: Known) -> dict[str, Any]:
    """Returns a campaign as a line of the list of campaigns."""
    best = best_of(charting.searched(known), maximize=known.maximize)
    return {
        "id": campaign.id,
        "label": clean(campaign.label),
        "name": clean(known.name),
        "state": known.state,
        "state_text": _STATES[known.state],
        "trained": f"{len(known.trials):,}",
        "best": number(best.score, 4) if best else DASH,
        "metric": metric(known),
        "elapsed": duration(known.elapsed) if known.elapsed else DASH,
    }


def status(asked: Asked) -> dict[str, Any]:
    """Returns where the campaign is: state, phase, time left, trainings, best score."""
    known, state = asked.known, asked.known.state
    live = state in ("running", "stopping")
    progress = asked.campaign.progress()
    at = progress.phase if live and progress else ""
    age = max(0.0, time.time() - progress.unix_time) if live and progress else 0.0
    elapsed = (progress.elapsed + age) if live and progress else known.elapsed
    left = None if not (live and progress) or progress.left is None else progress.left - age
    best = best_of(charting.searched(known), maximize=known.maximize)
    done, words = _done(asked, elapsed, left)
    return {
        "id": asked.campaign.id,
        "state": state,
        "state_text": _STATES[state],
        "trouble": clean(known.trouble),
        "detail": clean(f"{at}: {progress.detail}") if live and progress and at else "",
        "quiet": duration(age) if live and age > _QUIET_SECONDS else "",
        "steps": _steps(known, at, state),
        "share": done,
        "share_text": words,
        "tiles": [
            *([] if state == "finished" or known.single else
              [("Time left", _left(left), _budget(known))]),
            ("Took" if state == "finished" else "Elapsed", duration(elapsed),
             _budget(known) if state == "finished" else "of all sessions"),
            ("Trained", f"{max(len(known.trials), progress.trained if live and progress else 0):,}",
             f"{count(len(known.trials), 'finished training')} on record"),
            *([] if known.single else
              [(f"Best {metric(known)}", number(best.score, 4) if best else DASH,
                "validation, the search's own view")]),
        ],
        "resume": _resume(asked) if state == "interrupted" and not known.single else "",
        "can_stop": state == "running" and not known.single,
    }  # fmt: skip


def _steps(known: Known, at: str, state: str) -> list[tuple[str, str, str]]:
    """Returns the campaign's steps: name, whether `done`, `now` or `ahead`, and what each took."""
    if known.single:
        return []
    now = next((i for i, (_, names) in enumerate(STEPS) if at in names), -1)
    found = []
    for place, (name, phases) in enumerate(STEPS):
        seconds = sum(known.phases.get(phase, 0.0) for phase in phases)
        which = "done" if state == "finished" or place < now else "now" if place == now else "ahead"
        if now < 0 and seconds:
            which = "done"
        found.append((name, which, duration(seconds) if seconds >= 0.05 else ""))
    return found


def _done(asked: Asked, elapsed: float, left: float | None) -> tuple[float | None, str]:
    """Returns the share that is done, by the budget or by the trials asked for, and what it is of."""
    known = asked.known
    if known.state == "finished":
        return 1.0, "finished"
    if known.budget:
        whole = elapsed + max(0.0, left) if left is not None else known.budget
        return min(1.0, elapsed / whole), f"of {duration(whole)}"
    if known.wanted:
        trials = sum(trial.phase == "search" for trial in known.trials)
        return min(1.0, trials / known.wanted), f"{trials} of {known.wanted} trials of the search"
    return None, ""


def _left(left: float | None) -> str:
    if left is None:
        return DASH
    return duration(math.ceil(left)) if left > 0 else "any moment"


def _budget(known: Known) -> str:
    if known.wanted:
        return f"counted in trials: {known.wanted:,}"
    return f"of a budget of {duration(known.budget)}" if known.budget else ""


def _resume(asked: Asked) -> str:
    command = "tune" if asked.known.identity.get("what") == "tune" else "optimize"
    return f"pawl {command} --resume {clean(str(asked.campaign.folder))}"


def result(asked: Asked) -> dict[str, Any]:
    """Returns what a finished campaign found; empty before."""
    return {"id": asked.campaign.id, "ended": ended(asked.known), "files": files(asked.campaign)}


def search(asked: Asked) -> dict[str, Any]:
    """Returns the charts of the search, and its best trials."""
    known = asked.known
    across: charting.Across = next(
        (a for a in charting.ACROSS if a == asked.query.get("across")), "order"
    )
    trials, common = charting.searched(known), shared(known.trials)
    best = best_of(trials, maximize=known.maximize)
    sign = 1.0 if known.maximize else -1.0
    ranked = sorted(
        (t for t in trials if finite(t.score)),
        key=lambda t: (t.status == "pruned", -sign * (t.score or 0.0)),
    )
    return {
        "id": asked.campaign.id,
        "metric": metric(known),
        "better": "higher" if known.maximize else "lower",
        "across": across,
        "choices": list(charting.ACROSS.items()),
        "scores": charting.scores(known, across),
        "settings": charting.settings(known),
        "rows": [row(trial, common, best) for trial in ranked[:_LISTED]],
        "total": len(known.trials),
        "unshown": max(0, len(trials) - charting.MOST_DOTS),
        "common": ", ".join(humanize(name) for name in sorted(common.techniques)),
    }


def evidence(asked: Asked) -> dict[str, Any]:
    """Returns the arms that are compared, with the mean score on the rows held out."""
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in asked.known.trials:
        if trial.phase not in SEARCHED:
            name = trial.arm or trial.role.split(" #")[0]
            groups.setdefault((trial.phase, name, trial.recipe_id), []).append(trial)
    rows, common = [], shared(asked.known.trials)
    for (phase, arm, _), trials in groups.items():
        held = [t.holdout for t in trials if finite(t.holdout)]
        scores = [float(x) for x in held if x is not None]
        validated = [float(t.score) for t in trials if t.score is not None and finite(t.score)]
        failed = sum(t.status in ("failed", "diverged") for t in trials)
        rows.append(
            {
                "phase": humanize(phase), "arm": clean(arm), "n": f"{len(trials):,}",
                "held": number(fmean(scores), 4) if scores else DASH,
                "score": number(fmean(validated), 4) if validated else DASH,
                "failed": f"{failed:,}", "last": trials[-1].id,
                "recipe": described(trials[0], common),
            }
        )  # fmt: skip
    return {"id": asked.campaign.id, "rows": rows, "metric": metric(asked.known)}


def explanations(asked: Asked) -> dict[str, Any]:
    """Returns the explanations that lie in the campaign's folder."""
    return {"id": asked.campaign.id, "found": explained(asked.campaign)}


OVERVIEW: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "status": status,
    "result": result,
    "search": search,
    "front": fronts.front,
    "evidence": evidence,
    "explanations": explanations,
}
"""The parts of a campaign's page, from top to bottom."""
_OF_CAMPAIGNS = {"search", "front", "evidence"}
"""Those that only campaigns have."""
TICKING = {"status", "result", "explanations"}
"""Those that show more than the records: the clock, and files that may come later."""


def parts(known: Known) -> list[str]:
    """Returns the names of the parts of a page, from top to bottom."""
    return [name for name in OVERVIEW if not known.single or name not in _OF_CAMPAIGNS]
