"""The search over a function's settings: TPE on one seed, then the best few on further seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pawl.functions.runs import Asked, Runs, id_of
from pawl.ledger import TrialRecord
from pawl.search.protocols import Params, TrialResult
from pawl.search.samplers import make_sampler

SEARCH_SHARE, RACE_SHARE = 0.45, 0.15
"""Parts of a budget until whose end the search, and then the race, may go on; the rest is for pairs."""
_FINALISTS, _RACE_SEEDS = 5, 2
_MOST_REPEATS = 3


def search(
    runs: Runs, start: TrialRecord, trials: int | None, name: str = "edits"
) -> list[TrialRecord]:
    """Returns the trials of the search, the baseline's run first.

    All have the seed of the baseline's run: what differs between them is then less a matter of chance.

    Args:
        runs: The campaign's.
        start: The baseline's run.
        trials: How many runs there are; until the search's share of the budget is spent if `None`.
        name: Of the sampler.
    """
    found, repeats, generation = [start], 0, 0
    while repeats < _MOST_REPEATS:
        wanted = runs.workers if trials is None else min(runs.workers, trials - len(found))
        if wanted <= 0 or not runs.ledger.decide(
            f"search/{generation}", lambda: _goes_on(runs, timed=trials is None)
        ):
            break
        history = [
            TrialResult(
                {name: t.recipe["settings"][name] for name in runs.space.distributions},
                None if t.score is None else runs.sign * t.score, None,
            )
            for t in found
        ]  # fmt: skip
        sampler = make_sampler(name, runs.space, runs.seed, generation, history)
        known = {trial.recipe_id for trial in found}
        asked: dict[str, Params] = {}
        for params in sampler.members({}, wanted):
            whole = runs.space.baseline | params
            if id_of(whole) not in known:
                asked[id_of(whole)] = whole
        repeats = 0 if asked else repeats + 1
        if asked:
            role = f"generation {generation}"
            batch = [Asked(role, params, start.seed) for params in asked.values()]
            found += runs.ask(f"search/{generation}", "search", batch)
        generation += 1
    return found


def race(runs: Runs, trials: Sequence[TrialRecord]) -> Params | None:
    """Returns the settings that are compared with the baseline: of the best few, on further seeds.

    `None` where no run of the search but the baseline's ended.
    """
    scored = [trial for trial in trials[1:] if trial.score is not None]
    scored.sort(key=lambda trial: -runs.sign * (trial.score or 0.0))
    if not scored:
        return None
    rounds = _RACE_SEEDS

    def affordable() -> int:
        if runs.clock.left is None:
            return min(_FINALISTS, max(1, len(trials) // 4))
        most = int(
            _share_left(runs, SEARCH_SHARE + RACE_SHARE) / max(1e-9, rounds * runs.seconds())
        )
        return max(1, min(_FINALISTS, most))

    finalists = scored[: runs.ledger.decide("race", affordable)]
    if len(finalists) == 1:
        return _settings(finalists[0])
    wanted = [
        Asked("race", _settings(each), seed)
        for each in finalists
        for seed in runs.seeds("race", rounds)
    ]
    again = runs.ask("race", "race", wanted)
    by_id: dict[str, list[float]] = {}
    for trial in again:
        if trial.score is not None:
            by_id.setdefault(trial.recipe_id, []).append(runs.sign * trial.score)
    whole = [each for each in finalists if len(by_id.get(each.recipe_id, [])) == rounds]
    best = max(whole, key=lambda each: fmean(by_id[each.recipe_id]), default=finalists[0])
    return _settings(best)


def _settings(trial: TrialRecord) -> Params:
    return dict(trial.recipe["settings"])


def _share_left(runs: Runs, share: float) -> float:
    assert runs.clock.budget is not None
    return share * runs.clock.budget - runs.ledger.elapsed


def _goes_on(runs: Runs, *, timed: bool) -> bool:
    return not runs.clock.stopped and (not timed or _time_for(runs, SEARCH_SHARE, 1))


def _time_for(runs: Runs, share: float, count: int) -> bool:
    """Tells whether so many runs on each worker end within a share of the budget."""
    return _share_left(runs, share) > count * runs.seconds() * runs.workers
