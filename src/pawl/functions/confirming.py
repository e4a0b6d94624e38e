"""The confirmation: fresh seeds for the best settings and the baseline, and each change on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pawl.evidence.looks import sequential_p, spending
from pawl.evidence.tests import ALPHA, Comparison, holm
from pawl.functions.compared import Scores, compare, counted
from pawl.functions.runs import Asked, Runs
from pawl.search.protocols import Params

LOOKS = (5, 10, 20)
_END_SHARE = 0.04
_MOST_CHANGES = 8


@dataclass(frozen=True)
class Change:
    """What one setting's change is worth: the final settings against those with the baseline's value.

    Attributes:
        name: The setting.
        before: The baseline's value.
        after: The final one.
        comparison: `None` if it was not measured.
        p_value: Corrected (Holm) over the changes.
    """

    name: str
    before: Any
    after: Any
    comparison: Comparison | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Confirmed:
    """What fresh seeds say.

    Attributes:
        headline: The candidate against the baseline; `None` if there was no time for two pairs.
        p_value: Corrected for the looks.
        proven: Whether it is shown to be better.
        looks: After how many pairs was looked.
        scores: Of `baseline` and `candidate` by seed, failed runs counted.
        changes: Of the candidate, one by one.
    """

    headline: Comparison | None
    p_value: float
    proven: bool
    looks: list[int]
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


def confirm(runs: Runs, candidate: Params) -> Confirmed:
    """Compares the candidate with the baseline on fresh seeds, look by look, then change by change."""
    baseline = runs.space.baseline
    changes = [
        Change(name, baseline[name], candidate[name])
        for name in runs.space.distributions
        if candidate[name] != baseline[name]
    ]
    looks: list[int] = runs.ledger.decide("looks", lambda: _affordable(runs))
    seeds = runs.seeds("confirm", LOOKS[-1])
    arms: dict[str, dict[int, float | None]] = {"baseline": {}, "candidate": {}}
    found, p_values, taken = None, [], []
    for look in looks:
        if not _run(runs, f"confirm/{look}", arms, {"baseline": baseline, "candidate": candidate},
                    seeds[len(arms["baseline"]) : look]):  # fmt: skip
            break
        found = _compare(runs, arms, "candidate", "baseline")
        taken.append(look)
        p_values.append(found.p_value)
        shares = spending(looks)
        p_value = sequential_p(p_values, taken, [shares[each] for each in taken])
        if p_value <= ALPHA:
            break
    if found is None:
        return Confirmed(None, 1.0, False, [], {}, changes)
    proven = p_value <= ALPHA and found.effect > 0
    scores = {name: counted(each, _worst(runs, arms)) for name, each in arms.items()}
    if len(changes) == 1:  # put back, it is the baseline
        changes = [replace(changes[0], comparison=found, p_value=p_value)]
    elif proven:
        changes = _one_by_one(runs, candidate, changes, arms, seeds[: taken[-1]])
    return Confirmed(found, p_value, proven, taken, scores, changes)


def _affordable(runs: Runs) -> list[int]:
    """Returns the looks that there is time for; one of fewer pairs where there is none for five."""
    if runs.clock.stopped:  # before any of these pairs was seen
        return [LOOKS[0]]
    if runs.clock.left is None or runs.clock.budget is None:
        return list(LOOKS)
    pairs = int((runs.clock.left - _END_SHARE * runs.clock.budget) / max(1e-9, 2 * runs.seconds()))
    looks = [look for look in LOOKS if look <= pairs]
    return looks or ([pairs] if pairs > 1 else [])


def _run(
    runs: Runs,
    key: str,
    arms: dict[str, dict[int, float | None]],
    settings: dict[str, Params],
    seeds: Sequence[int],
) -> bool:
    """Runs arms with further seeds; tells whether there was time for it."""
    need = len(settings) * len(seeds) * runs.seconds()
    if not runs.ledger.decide(f"{key}/time", lambda: _time_for(runs, need)):
        return False
    wanted = [Asked(name, settings[name], seed) for seed in seeds for name in settings]
    for trial in runs.ask(key, "confirm", wanted):
        arms[trial.role][trial.seed] = trial.score
    return True


def _time_for(runs: Runs, need: float) -> bool:
    """Tells whether there is time for runs; where someone asked to end, for those of a first look."""
    first = not any(trial.phase == "confirm" for trial in runs.ledger.trials())
    if runs.clock.stopped and not first:
        return False
    return runs.clock.left is None or runs.clock.left > need


def _one_by_one(
    runs: Runs,
    candidate: Params,
    changes: list[Change],
    arms: dict[str, dict[int, float | None]],
    seeds: Sequence[int],
) -> list[Change]:
    """Returns the changes with what each is worth, as far as there is time for them."""
    measured = {}
    for change in changes[:_MOST_CHANGES]:
        name = f"without {change.name}"
        arms[name] = {}
        without = candidate | {change.name: change.before}
        if _run(runs, f"confirm/{name}", arms, {name: without}, seeds):
            measured[change.name] = _compare(runs, arms, "candidate", name)
    adjusted = dict(zip(measured, holm([c.p_value for c in measured.values()]), strict=True))
    return [
        Change(c.name, c.before, c.after, measured.get(c.name), adjusted.get(c.name))
        for c in changes
    ]


def _compare(
    runs: Runs, arms: dict[str, dict[int, float | None]], first: str, second: str
) -> Comparison:
    worst = _worst(runs, arms)
    return compare(runs.sign, counted(arms[first], worst), counted(arms[second], worst))


def _worst(runs: Runs, arms: dict[str, dict[int, float | None]]) -> float:
    scores = [score for arm in arms.values() for score in _known(arm)]
    return min(scores, key=lambda score: runs.sign * score, default=0.0)


def _known(arm: Scores) -> list[float]:
    return [score for score in arm.values() if score is not None]
