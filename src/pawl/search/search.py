"""The search: generations of one structure each, every one written to the ledger as a unit.

The first generations try the baseline's neighborhood and recipes that are known to be good. Then two
sources of structures take turns: the sampler's proposals, and the best recipe so far with one
structural parameter changed. Inside a generation the sampler proposes the memberwise settings.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pawl.errors import PawlError
from pawl.execution import Heartbeat, Lost, Session, failed, record_of, shared
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search.failures import refused, run_or_record
from pawl.search.halving import Searched
from pawl.search.proposals import points, propose_structure
from pawl.search.sampler import Sampler, SamplerName, Told
from pawl.search.space import Params, Space
from pawl.search.starts import starts
from pawl.training.population import Member

_PHASE = "search"
_MAX_GENERATIONS = 10_000


@dataclass(frozen=True)
class SearchPlan:
    """How large a search is.

    Attributes:
        width: Places of a generation.
        quota: Configurations of a generation; those beyond the width refill places.
        trials: Configurations in all, or `None` when a deadline ends the search.
        deadline: Campaign seconds at which it ends, or `None`.
    """

    width: int
    quota: int
    trials: int | None
    deadline: float | None


def search(
    session: Session,
    baseline: Recipe,
    plan: SearchPlan,
    sampler: SamplerName = "tpe",
    only: Collection[str] | None = None,
) -> list[TrialRecord]:
    """Runs generations until the deadline or the number of trials; returns all trials in order.

    Called again with a later deadline, it goes on behind the generations in the ledger. With `only`,
    no other techniques come in and no others' settings are varied.
    """
    space = Space(baseline, session.facts, only)
    # The baseline comes second: the first recipe is the one most likely to be worth a short budget.
    good = starts(baseline, session.facts, only)
    known = (*good[:1], baseline, *good[1:])
    trials: list[TrialRecord] = []
    for generation in range(_MAX_GENERATIONS):
        count = plan.quota
        if plan.trials is not None:
            count = min(count, plan.trials - len(trials))
        if count <= 0:
            break
        done = session.ledger.unit(f"search/{generation}") is not None
        if not done and not _goes_on(session, plan):
            break
        if not done:
            session.listener.phase("search", f"generation {generation + 1}")
        work = functools.partial(
            _generation, session, space, plan, sampler, known, tuple(trials), generation, count
        )
        unit = session.ledger.compute(f"search/{generation}", _PHASE, work)
        trials += unit.trials
        session.note(unit.trials)
    return trials


def _goes_on(session: Session, plan: SearchPlan) -> bool:
    """Tells whether there is time for most of another generation, by the mean of those before."""
    if plan.deadline is None:
        return True
    seconds = [unit.seconds for unit in session.ledger.units(_PHASE)]
    need = 0.7 * sum(seconds) / len(seconds) if seconds else 0.0
    return session.ledger.elapsed + need < plan.deadline


def _generation(
    session: Session,
    space: Space,
    plan: SearchPlan,
    name: SamplerName,
    known: Sequence[Recipe],
    trials: Sequence[TrialRecord],
    generation: int,
    count: int,
) -> tuple[dict[str, Any], list[TrialRecord]]:
    sign = session.problem.objective.sign
    sampler = Sampler(space, name, session.seed, generation, [_told(t, sign) for t in trials])
    source, first, structure = propose_structure(session, space, sampler, known, trials, generation)
    train, valid = session.search_rows

    def members() -> Iterator[tuple[Params, Member]]:
        for index, params in enumerate(points(session, space, sampler, first, structure, count)):
            seed = session.derive("trial", generation, index)
            yield params, Member(space.recipe(params), seed, train, valid, session.epochs)

    def work(share: int, heartbeat: Heartbeat) -> list[Searched]:
        def check() -> None:
            heartbeat()
            if plan.deadline is not None and session.ledger.elapsed > plan.deadline:
                raise StopIteration

        own = itertools.islice(members(), share, None, chosen.workers)
        return run_or_record(session.problem, chosen, own, width, heartbeat=check)

    representative = space.recipe({**space.params(space.baseline), **structure})
    probe = Member(representative, session.derive("probe"), train, valid, session.epochs)
    try:
        chosen = session.plan(representative)
    except PawlError:
        raise
    except Exception as error:  # so would every configuration
        found = [refused(pair, error) for pair in members()]
    else:
        width = max(1, min(plan.width, count) // chosen.workers)
        shares = [functools.partial(work, share) for share in range(min(chosen.workers, count))]
        found = []
        for share, ended in enumerate(session.run(shares, chosen, probe)):
            if isinstance(ended, Lost):
                lost = itertools.islice(members(), share, None, chosen.workers)
                found += [Searched(params, failed(m, ended.reason), {}) for params, m in lost]
            else:
                found += [
                    replace(each, outcome=shared(each.outcome, chosen.workers)) for each in ended
                ]
        session.look_again(chosen, [each.outcome for each in found])
    return {"source": source}, [
        record_of(
            item.outcome, _PHASE, f"generation {generation} ({source})", "search",
            extra={"params": item.params, "rungs": {str(k): v for k, v in item.rungs.items()}},
        )
        for item in found
    ]  # fmt: skip


def _told(trial: TrialRecord, sign: float) -> Told:
    score = None if trial.score is None else sign * trial.score
    return Told(
        trial.extra["params"], score, len(trial.curve) if trial.status == "pruned" else None
    )
