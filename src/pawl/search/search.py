"""The search: generations of one structure each, every one written to the ledger as a unit.

The first generations try the baseline's neighborhood and recipes that are known to be good, then the
sampler proposes. Inside a generation it proposes the memberwise settings.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pawl.errors import PawlError
from pawl.execution import Ask, Heartbeat, Lost, Session, failed, reason_of, record_of, shared
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.generation import Searched, Seat
from pawl.search.protocols import Params, TrialResult
from pawl.search.samplers import make_sampler
from pawl.search.schedulers import make_scheduler
from pawl.search.space import Space
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


class Strategy(NamedTuple):
    """How a search proposes and prunes: names of a sampler and a scheduler."""

    sampler: str = "edits"
    scheduler: str = "halving"


_DEFAULT = Strategy()


def search(
    session: Session,
    baseline: Recipe,
    plan: SearchPlan,
    strategy: Strategy = _DEFAULT,
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
            _generation,
            session,
            space,
            plan,
            strategy,
            known,
            tuple(trials),
            generation,
            count,
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
    strategy: Strategy,
    known: Sequence[Recipe],
    trials: Sequence[TrialRecord],
    generation: int,
    count: int,
) -> tuple[dict[str, Any], list[TrialRecord]]:
    sign = session.problem.objective.sign
    history = [_told(trial, sign) for trial in trials]
    sampler = make_sampler(strategy.sampler, space, session.rows.seed, generation, history)
    is_known = generation < len(known)
    source = "known recipe" if is_known else "sampler"
    first = space.params(known[generation]) if is_known else sampler.ask()
    scheduler = make_scheduler(strategy.scheduler, generation)
    train, valid = session.rows.search

    def make(number: int, params: Params) -> Member:
        seed = session.rows.derive("trial", generation, number)
        return Member(space.recipe(params), seed, train, valid, session.epochs)

    def work(width: int, heartbeat: Heartbeat, ask: Ask) -> list[Searched]:
        def check() -> None:
            heartbeat()
            if plan.deadline is not None and session.ledger.elapsed > plan.deadline:
                raise StopIteration

        seat = Seat(ask, make, scheduler.shares)
        return run_or_record(session.problem, chosen, seat, width, heartbeat=check)

    def ended(number: int, params: Params, reason: str) -> Searched:
        return Searched(number, params, failed(make(number, params), reason), {})

    representative = space.recipe({**space.params(space.baseline), **space.structure(first)})
    probe = Member(representative, session.rows.derive("probe"), train, valid, session.epochs)
    drawn = itertools.chain([first], sampler.members(first, count - 1))
    found: list[Searched] = []
    try:
        chosen = session.trainer.plan(representative)
    except PawlError:
        raise
    except Exception as error:  # so would every configuration
        found = [ended(number, params, reason_of(error)) for number, params in enumerate(drawn)]
    else:
        shares = _shares(min(plan.width, count), min(chosen.workers, count))
        # Where no clock ends the search, none may decide who is compared with whom either.
        lockstep = plan.deadline is None
        with Board(drawn, len(shares), lockstep=lockstep, scheduler=scheduler) as board:
            pieces = [functools.partial(work, width) for width in shares]
            for piece, result in enumerate(session.trainer.confer(pieces, chosen, probe, board)):
                if isinstance(result, Lost):
                    lost = board.dealt[piece].items()
                    found += [ended(number, params, result.reason) for number, params in lost]
                else:
                    found += [
                        replace(each, outcome=shared(each.outcome, chosen.workers))
                        for each in result
                    ]
        session.trainer.look_again(chosen, [each.outcome for each in found])
    found.sort(key=lambda each: each.number)
    return {"source": source}, [
        record_of(
            item.outcome, _PHASE, f"generation {generation} ({source})", "search",
            extra={"params": item.params, "rungs": {str(k): v for k, v in item.rungs.items()}},
        )
        for item in found
    ]  # fmt: skip


def _shares(places: int, workers: int) -> list[int]:
    """Returns how many of the places each worker has, at least one."""
    return [max(1, len(range(worker, places, workers))) for worker in range(workers)]


def _told(trial: TrialRecord, sign: float) -> TrialResult:
    score = None if trial.score is None else sign * trial.score
    return TrialResult(
        trial.extra["params"], score, len(trial.curve) if trial.status == "pruned" else None
    )
