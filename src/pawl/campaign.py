"""The main job: the order of the rooms, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from pawl import pacing
from pawl.data import LoadedData, load
from pawl.delivery import deliver, rehearse
from pawl.environment import versions
from pawl.errors import BudgetError, LedgerError, TaskError, option
from pawl.evidence import CampaignOutcome, ConfirmationEffort, confirm, final_test, race
from pawl.execution import Listener, Session, Silent, driving, pick_device, pick_executor
from pawl.fingerprint import code_of
from pawl.ledger import Ledger
from pawl.options import Options
from pawl.processes import one_process
from pawl.report.summary import Summary
from pawl.search import Strategy, check_sampler, contenders, make_scheduler, ranked, search, starts
from pawl.search import baseline as default_baseline
from pawl.task import Task
from pawl.techniques import Facts, refusal, technique
from pawl.training.problem import Problem

_MAX_EXTENSIONS = 5


@driving()
def run_campaign(
    task: Task,
    folder: Path,
    options: Options,
    *,
    source: str = "",
    command: str = "",
    resume: bool = False,
    accept_changes: bool = False,
    listener: Listener | None = None,
    identity: dict[str, Any] | None = None,
    started: float | None = None,
) -> Summary:
    """Optimizes a task and leaves ledger, summary, report and bundle in a folder.

    Args:
        task: What to optimize.
        folder: New or empty; with `resume`, that of an unfinished campaign.
        options: How; its baseline is a recipe, if there is one.
        source: How reports name the data.
        command: The command that repeats the campaign.
        resume: Go on with the campaign in the folder.
        accept_changes: Go on though model, loss or metric has changed.
        listener: Told how it goes on.
        identity: What the ledger should remember so that the campaign can be resumed.
        started: `time.monotonic()` at which the budget began; now by default.

    Raises:
        PawlError: Any wrong input; see `pawl.errors`.
    """
    started = time.monotonic() if started is None else started
    listener = listener or Silent()
    listener.phase("read", "data")
    check_sampler(options.sampler)
    make_scheduler(options.scheduler, 0)
    device = pick_device(options.device)
    executor = pick_executor(options.executor, device)
    code = code_of(task)
    with one_process():
        data = load(task, seed=options.seed)
        listener.phase("task", data.headline)
        problem = Problem.of(task, data, device)
    identity = identity or {}
    with ledger_of(
        folder, data.fingerprint, code, identity, resume=resume, accept=accept_changes
    ) as ledger:
        ledger.charge(time.monotonic() - started)
        session = Session(
            problem, ledger, options.seed, options.seconds, listener, executor=executor
        )
        try:
            found = search_and_prove(session, data, options)
        except BudgetError:
            # With nothing to go on with, a longer budget may have the folder.
            if not (ledger.units() or session.clock.hangs):
                ledger.discard()
            raise
        return deliver(session, task, data, found, source=source, command=command)


def ledger_of(
    folder: Path,
    fingerprint: str,
    code: dict[str, str | None],
    identity: dict[str, Any],
    *,
    resume: bool,
    accept: bool,
) -> Ledger:
    """Starts a campaign's ledger, or opens it to go on if it is still the same campaign.

    Args:
        folder: The campaign's.
        fingerprint: Of its data.
        code: Fingerprints of the user's code, by role.
        identity: What else a new ledger remembers.
        resume: Whether to go on.
        accept: Whether to go on though the code has changed.

    Raises:
        LedgerError: It is another campaign's, or of another version.
    """
    if not resume:
        what = {"fingerprint": fingerprint, "code": code, "versions": versions()}
        return Ledger.create(folder, {**identity, **what})
    ledger = Ledger.open(folder)
    if ledger.identity.get("fingerprint") != fingerprint:
        ledger.close()
        raise LedgerError(
            f"the data is not what the campaign in {str(folder)!r} was started with; give the same "
            f"data, or start anew with another {option('out')}"
        )
    written, present = ledger.identity["versions"].get("pawl"), versions().get("pawl")
    if written != present:
        ledger.close()
        raise LedgerError(
            f"the campaign in {str(folder)!r} was started with pawl {written} and this is {present}; "
            f"finish it with the version that started it, or start anew with another {option('out')}"
        )
    try:
        _hold_code(ledger, code, accept=accept)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _hold_code(ledger: Ledger, code: dict[str, str | None], *, accept: bool) -> None:
    """Refuses a campaign's code that has changed; with `accept`, puts on record that it has.

    Raises:
        LedgerError: It has changed.
    """
    known = ledger.accepted[-1]["code"] if ledger.accepted else ledger.identity["code"]
    changed = [role for role, print_ in code.items() if print_ != known.get(role)]
    if not changed:
        return
    if not accept:
        what = f"{', '.join(changed)} {'are' if len(changed) > 1 else 'is'}"
        raise LedgerError(
            f"the task's {what} not what the campaign in {str(ledger.folder)!r} was started with; put "
            f"the code back, go on all the same with {option('accept_changes', True)}, or start anew "
            f"with another {option('out')}"
        )
    ledger.accept({"changed": changed, "code": code, "unix_time": time.time()})


def search_and_prove(session: Session, data: LoadedData, options: Options) -> CampaignOutcome:
    """Searches, confirms and tests; everything but export, bundle and report.

    Raises:
        PawlError: The recipe to start from does not fit, or the budget is too short.
    """
    baseline = options.baseline or default_baseline(session.facts)
    check_fit(session.facts, [*(t.name for t, _ in baseline), *(options.only or ())])
    session.longest = options.epochs
    session.epochs = pacing.natural_epochs(session)
    session.listener.phase("time", "an export and a few steps of the baseline")
    if session.clock.timed or session.problem.own_model:
        session.clock.export_seconds = session.ledger.decide(
            "export", partial(rehearse, session, data, baseline)
        )
    pace = pacing.pace(session, baseline, options.trials, options.average)
    session.epochs = pace.epochs
    only, strategy = options.only, Strategy(options.sampler, options.scheduler)
    trials = search(session, baseline, pace.search, strategy, only)
    sign = session.problem.objective.sign
    for extension in range(_MAX_EXTENSIONS):
        best = (ranked(trials, sign, 1) or [baseline])[0]
        deadline = session.ledger.decide(
            f"extension/{extension}",
            lambda: pacing.extension(session, pace, baseline, best),  # noqa: B023
        )
        if deadline is None:
            break
        longer = replace(pace.search, deadline=deadline)
        trials = search(session, baseline, longer, strategy, only)

    session.clock.floor = pacing.floor(session, pace)
    good = starts(baseline, session.facts, only)
    entrants = partial(contenders, trials, sign, good=good)
    count, pairs = session.ledger.decide(
        "race", lambda: list(pacing.finalists(session, pace, trials, entrants))
    )
    recipes = entrants(count) or [baseline]
    candidate = race(session, recipes, pairs)
    others = [candidate]
    if trials:
        found = (r for r in (candidate, *recipes, *good) if r != baseline)
        others = list({recipe.id: recipe for recipe in found}.values()) or others

    def deepest() -> tuple[int, dict[str, Any]]:
        place, depth = pacing.comparable(session, pace, baseline, others, trials)
        return place, asdict(depth)

    place, depth = session.ledger.decide("depth", deepest)
    candidate = others[place]
    session.clock.reserve, effort = depth["reserve"], ConfirmationEffort(**depth["effort"])
    confirmation = confirm(session, baseline, candidate, effort, options.deliver, keep=pace.seeds)
    final, compared = confirmation.delivered, confirmation.pairs
    session.clock.floor = None  # the end itself is not given up
    there = len(compared.kept(baseline, final)) if compared else 0
    seeds = session.ledger.decide(
        "seeds", lambda: pacing.seeds(session, pace, there, unchanged=final == baseline)
    )
    more = partial(pacing.more_seeds, session, max(pace.seeds, options.average))
    test = final_test(
        session, baseline, final, data.test, seeds, more, average=options.average, pairs=compared
    )
    return CampaignOutcome(baseline, confirmation, test, options.deliver)


def check_fit(facts: Facts, names: Iterable[str]) -> None:
    """Checks that techniques which the user named fit the task.

    Raises:
        TaskError: One does not; the message has the reason.
    """
    for name in names:
        reason = refusal(technique(name), facts)
        if reason:
            raise TaskError(f"technique {name!r} does not fit this task: {reason}; leave it out")
