"""What a generation asks for, who trains it, and what comes back.

Workers get plain values: the problem, what makes members, and when to end. What they ask each other
goes over the board, in the process that started them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from pawl import rng
from pawl.errors import PawlError
from pawl.execution import (
    Ask,
    Heartbeat,
    Lost,
    Plan,
    Session,
    failed,
    reason_of,
    record_of,
    shared,
)
from pawl.ledger import TrialRecord, stop_asked
from pawl.recipe import Recipe
from pawl.search.board import Board
from pawl.search.costs import Cost, cost_of, too_large
from pawl.search.failures import run_or_record
from pawl.search.objectives import scalarized
from pawl.search.protocols import Params, TrialResult
from pawl.search.samplers import make_sampler
from pawl.search.schedulers import Child, child_of, configurations, make_scheduler
from pawl.search.seat import Searched, Seat
from pawl.search.space import Space
from pawl.search.strategy import Strategy
from pawl.search.told import told
from pawl.techniques.changing import SCHEDULE
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.run import Outcome

EXHAUSTED = "nothing left to propose"


@dataclass(frozen=True)
class Asked:
    """A generation.

    Attributes:
        number: Of the generation.
        count: Configurations.
        width: Places; configurations beyond them refill places.
        deadline: Campaign seconds at which it ends, or `None`.
        passes: Tells how many passes trainings like a recipe's take; the campaign's if `None`.
    """

    number: int
    count: int
    width: int
    deadline: float | None
    passes: Callable[[Recipe], int] | None = None


@dataclass(frozen=True)
class Making:
    """Makes the members of a generation of their points.

    Attributes:
        space: Whose points.
        seed: The campaign's.
        generation: Its number.
        splits: Training and validation rows, of each fold.
        epochs: Length of the trainings.
        changing: Whether their settings may change while they train.
    """

    space: Space
    seed: int
    generation: int
    splits: tuple[tuple[Tensor, Tensor], ...]
    epochs: int
    changing: bool = False

    def __call__(self, number: int, params: Params) -> tuple[Member, ...]:
        """Returns a numbered point's members, one for each fold."""
        recipe, found = self.recipe(params), list[Member]()
        for fold, (train, valid) in enumerate(self.splits):
            more: tuple[int | str, ...] = ("fold", fold) if fold else ()
            seed = rng.derive_seed(self.seed, "trial", self.generation, number, *more)
            found.append(Member(recipe, seed, train, valid, self.epochs))
        return tuple(found)

    def recipe(self, params: Params) -> Recipe:
        """Returns a point's recipe, as its member starts with it."""
        recipe = self.space.recipe(params)
        return recipe.with_(SCHEDULE) if self.changing and SCHEDULE not in recipe else recipe


@dataclass(frozen=True)
class Ending:
    """When a generation ends before its members have.

    Attributes:
        folder: The campaign's, in which it may be asked to end.
        seconds: How long it may take; `None` for as long as it takes.
    """

    folder: Path
    seconds: float | None

    def reached(self, spent: float) -> bool:
        """Tells whether it ends now, after so many seconds."""
        return (self.seconds is not None and spent > self.seconds) or stop_asked(self.folder)


def run_asked(
    session: Session,
    space: Space,
    asked: Asked,
    strategy: Strategy,
    trials: Sequence[TrialRecord],
    known: Recipe | None,
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Trains a generation; returns what the ledger keeps of it.

    Args:
        session: The campaign's.
        space: What is searched.
        asked: The generation.
        strategy: Who proposes, and who is pruned.
        trials: All so far.
        known: The recipe to begin with; the sampler proposes one if `None`.
    """
    history = _history(session, asked.number, strategy, trials)
    sampler = make_sampler(strategy.sampler, space, session.rows.seed, asked.number, history)
    source = "sampler" if known is None else "known recipe"
    first = sampler.ask() if known is None else space.params(known)
    if first is None:
        return {"source": EXHAUSTED}, []
    scheduler = make_scheduler(strategy.scheduler, asked.number)
    child = child_of(scheduler)
    count = configurations(scheduler, asked.count, asked.width)
    drawn = itertools.chain([first], sampler.members(first, count - 1))
    splits, folds = session.rows.searched(strategy.folds), strategy.folds
    train, valid = splits[0]
    seed = session.rows.seed
    make = Making(space, seed, asked.number, splits, session.epochs, child is not None)
    representative = make.recipe({**space.start, **space.structure(first)})
    source_of = f"generation {asked.number} ({source})"
    costs = _cost(session, strategy, representative, train)
    if costs is not None and (reason := too_large(costs, strategy.most)):
        refused_ = replace(_ended(make, 0, first, reason).outcome, status="infeasible")
        extra = {"generation": asked.number, "source": source, "params": first, "rungs": {}}
        return {"source": source}, [record_of(refused_, "search", source_of, "search", extra=extra)]
    try:
        chosen = session.trainer.plan(representative)
    except PawlError:
        raise
    except Exception as error:  # so would every configuration
        reason = reason_of(error)
        found = [_ended(make, number, params, reason) for number, params in enumerate(drawn)]
    else:
        make = replace(make, epochs=_passes(session, asked, representative))
        probe = Member(representative, session.rows.derive("probe"), train, valid, make.epochs)
        shares = _shares(min(asked.width, count), min(chosen.workers, count))
        if child is not None:  # members follow each other within one population
            shares = [count]
            chosen = chosen.narrowed(max(chosen.width, count * folds))
        chosen = chosen.narrowed(max(chosen.width, folds))
        # Where no clock ends the search, none may decide who is compared with whom either.
        lockstep = asked.deadline is None
        left = None if asked.deadline is None else asked.deadline - session.ledger.elapsed
        with Board(drawn, len(shares), lockstep=lockstep, scheduler=scheduler) as board:
            pieces = [
                partial(
                    train_share, session.problem, chosen, make, (scheduler.shares, child), width,
                    Ending(session.ledger.folder, left),
                )
                for width in shares
            ]  # fmt: skip
            results = session.trainer.confer(pieces, chosen, probe, board)
            found = _collected(results, board, make, len(shares))
        session.trainer.look_again(chosen, [each.outcome for each in found])
    found.sort(key=lambda each: each.number)
    return {"source": source}, [
        record_of(
            _plain(item.outcome), "search", source_of, "search",
            extra={
                "generation": asked.number, "source": source, "params": item.params,
                "rungs": {str(k): v for k, v in item.rungs.items()},
                **({"followed": list(item.history)} if item.history else {}),
                **({"folds": list(item.folds)} if item.folds else {}),
                **({"cost": asdict(costs)} if costs is not None else {}),
            },
        )
        for item in found
    ]  # fmt: skip


def _passes(session: Session, asked: Asked, recipe: Recipe) -> int:
    """Returns the passes of a generation's trainings, which are timed: what was decided stays."""
    if asked.passes is None:
        return session.epochs
    return session.ledger.decide(f"search/{asked.number}/passes", partial(asked.passes, recipe))


def _history(
    session: Session, generation: int, strategy: Strategy, trials: Sequence[TrialRecord]
) -> list[TrialResult]:
    """Returns the trials as the generation's sampler is told them."""
    history = [told(trial, session.problem.objective.sign) for trial in trials]
    if len(strategy.objectives) < 2:
        return history
    costs = [Cost(**t.extra["cost"]) if "cost" in t.extra else None for t in trials]
    seed = rng.derive_seed("objectives", session.rows.seed, generation)
    return scalarized(strategy.objectives, history, costs, seed)


def _cost(session: Session, strategy: Strategy, recipe: Recipe, rows: Tensor) -> Cost | None:
    """Returns what a structure costs, where that matters; `None` too where it cannot be built."""
    if strategy.most is None and len(strategy.objectives) < 2:
        return None
    try:
        return cost_of(session.problem, recipe, rows)
    except PawlError:
        raise
    except Exception:  # what it raises is told when it is trained
        return None


def _plain(outcome: Outcome) -> Outcome:
    """Returns an outcome whose recipe has a schedule of settings only where some changed."""
    member = outcome.member
    if SCHEDULE not in member.recipe or member.recipe.settings(SCHEDULE).changes:  # type: ignore[attr-defined]
        return outcome
    return replace(outcome, member=replace(member, recipe=member.recipe.without(SCHEDULE)))


def train_share(
    problem: Problem,
    chosen: Plan,
    make: Making,
    judged: tuple[Sequence[float], Child | None],
    width: int,
    ending: Ending,
    heartbeat: Heartbeat,
    ask: Ask,
) -> list[Searched]:
    """Trains one worker's share of a generation.

    Args:
        problem: The task.
        chosen: How to train.
        make: Makes members.
        judged: At which shares of a trial members are judged, and how those that do not go on follow
            others.
        width: How many configurations train at once.
        ending: When it ends; what is in training then ends as pruned.
        heartbeat: Called every few steps.
        ask: Asks the board.
    """
    started = time.monotonic()

    def check() -> None:
        heartbeat()
        if ending.reached(time.monotonic() - started):
            raise StopIteration

    seat = Seat(ask, make, *judged, folds=len(make.splits))
    return run_or_record(problem, chosen, seat, width, heartbeat=check)


def _collected(results: Sequence[Any], board: Board, make: Making, workers: int) -> list[Searched]:
    """Returns how all configurations ended; those of a worker that died have failed."""
    found: list[Searched] = []
    for piece, result in enumerate(results):
        if isinstance(result, Lost):
            lost = board.dealt[piece].items()
            found += [_ended(make, number, params, result.reason) for number, params in lost]
        else:
            found += [replace(each, outcome=shared(each.outcome, workers)) for each in result]
    return found


def _ended(make: Making, number: int, params: Params, reason: str) -> Searched:
    return Searched(number, params, failed(make(number, params)[0], reason), {})


def _shares(places: int, workers: int) -> list[int]:
    """Returns how many of the places each worker has, at least one."""
    return [max(1, len(range(worker, places, workers))) for worker in range(workers)]
