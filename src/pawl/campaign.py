"""The main job: the order of the rooms, and nothing else."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pawl import pacing
from pawl.data import LoadedData
from pawl.delivery import deliver, rehearse
from pawl.diagnosing import in_campaign
from pawl.ensembling import (
    NETS,
    candidates,
    check_families,
    fitting_learners,
    snapshots,
    try_learners,
    unlike,
)
from pawl.errors import BudgetError, BundleError
from pawl.evidence import (
    Arm,
    CampaignOutcome,
    ConfirmationEffort,
    Coverage,
    Single,
    behind,
    confirm,
    final_test,
    limits_of,
    race,
)
from pawl.execution import (
    Listener,
    Session,
    Silent,
    deterministic,
    driving,
    pick_device,
    pick_executor,
    read_task,
)
from pawl.execution.rows import Rows
from pawl.kinds import KINDS, refuse_coverage
from pawl.ledger import TrialRecord, ledger_of
from pawl.options import Options
from pawl.processes import one_process
from pawl.recipe import Recipe
from pawl.report.summary import Summary
from pawl.search import baseline as default_baseline
from pawl.search import check_strategy, contenders, ranked, starts
from pawl.search.costs import check_size, cost_of, too_large
from pawl.search.warm import task_record
from pawl.searching import searched, strategy_of, warm_of
from pawl.task import Task
from pawl.techniques import Facts, check_fit, check_recipe


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
    strategy = strategy_of(options)
    check_families(options.families)
    device = pick_device(options.device)
    executor = pick_executor(options.executor, device)
    with one_process():
        read = read_task(task, options.seed, device, listener)
        data, problem = read.data, read.problem
        # What is wrong is said before a folder is made.
        facts = problem.facts()
        fitting_learners(facts, options.families)
        check_strategy(strategy, _network(options, facts), facts, options.only)
        train, _ = Rows(problem, options.seed).searched(options.folds)[0]
        check_size(problem, _network(options, facts), train, options.max_parameters)
        if options.warm_start and not resume:
            warm_of(options, facts, problem)
        if options.coverage is not None:
            _, proof = Rows(problem, options.seed).parts
            refuse_coverage(KINDS[data.schema.kind], options.coverage, len(proof))
    identity = {**(identity or {}), "task": task_record(problem)}
    with (
        deterministic(options.deterministic),
        ledger_of(
            folder, data.fingerprint, read.code, identity, resume=resume, accept=accept_changes
        ) as ledger,
    ):
        ledger.charge(time.monotonic() - started)
        session = Session(
            problem, ledger, options.seed, options.seconds, listener, executor=executor
        )
        session.clock.aside = pacing.aside(options.seconds, limited=options.limited)
        try:
            found = search_and_prove(session, data, options)
        except (BudgetError, BundleError):
            # With nothing to go on with, a longer budget, or a model that can be exported, may have the
            # folder.
            if not (ledger.units() or session.clock.hangs):
                ledger.discard()
            raise
        return deliver(session, task, data, found, source=source, command=command, limits=options)


def search_and_prove(session: Session, data: LoadedData, options: Options) -> CampaignOutcome:
    """Searches, confirms and tests; everything but export, bundle and report.

    Raises:
        PawlError: The recipe to start from does not fit, or the budget is too short.
    """
    baseline = options.baseline or default_baseline(session.facts)
    check_recipe(session.facts, baseline)
    check_fit(session.facts, options.only or ())
    learners = fitting_learners(session.facts, options.families)
    session.longest, session.test_rows = options.epochs, len(data.test)
    session.epochs = pacing.natural_epochs(session)
    session.listener.phase("time", "an export and a few steps of the baseline")
    if session.clock.timed or session.problem.own_model:
        session.clock.export_seconds = session.ledger.decide(
            "export", partial(rehearse, session, data, baseline)
        )
    start = _network(options, session.facts)
    pace = pacing.pace(session, start, options.trials, options.average, options.folds)
    session.epochs, session.clock.shortest = pace.epochs, pacing.shortest(session, pace)
    nets = options.families is None or NETS in options.families
    findings = in_campaign(session, data, start if nets else baseline)
    tried = try_learners(session, pacing.affordable(session, pace, learners), options.folds)
    alone = not tried and options.ensemble in ("auto", "none")
    trials, tried = searched(session, start, pace, options, tried, findings, alone=alone)
    if alone:  # what gains by passes is told apart by trainings that are as long as those delivered
        best = ranked(trials, session.problem.objective.sign, 1) or [start]
        pace = _of_length(session, pace, baseline, Single(best[0]))
    arms, worse = _candidates(session, start, pace, (trials, tried), options)
    arms = [arm for arm in arms if arm != Single(baseline)] or [Single(baseline)]
    if not alone:
        pace = _of_length(session, pace, baseline, arms[0])

    def deepest() -> tuple[int, dict[str, Any]]:
        place, depth = pacing.comparable(
            session, pace, baseline, arms, behind=worse, searched=bool(trials or tried)
        )
        return place, asdict(depth)

    place, depth = session.ledger.decide("depth", deepest)
    session.clock.reserve, effort = depth["reserve"], ConfirmationEffort(**depth["effort"])
    session.clock.floor = pacing.floor(session, pace, arms[place])
    session.clock.shortest = None  # who asks to end now may have seen results: a look is not cut
    # Models of the end know more: the latest rows, or more of very many.
    keep = 0 if session.rows.in_time or pace.rows else pace.seeds
    confirmation = confirm(session, baseline, arms[place], effort, options.deliver, keep=keep)
    final, compared = confirmation.delivered, confirmation.pairs
    session.clock.floor = None  # the end itself is not given up
    there = len(compared.kept(baseline, final)) if compared else 0
    unchanged, parts = final == Single(baseline), len(final.trainings)
    most = session.ledger.decide(
        "rows", lambda: pacing.rows_at_end(session, pace, parts, unchanged=unchanged)
    )
    seeds = session.ledger.decide(
        "seeds", lambda: pacing.seeds(session, pace, there, parts, unchanged=unchanged, most=most)
    )
    average = pacing.copies(options.average, parts)
    more = partial(pacing.more_seeds, session, max(pace.seeds, options.average), parts)
    test = final_test(
        session, baseline, final, data.test, seeds, more, average=average, pairs=compared, most=most
    )
    coverage = None
    if options.coverage is not None:
        limits = limits_of(compared, final, options.coverage)
        coverage = Coverage(options.coverage, limits)
    return CampaignOutcome(baseline, confirmation, test, options.deliver, coverage)


def _of_length(
    session: Session, pace: pacing.Pace, baseline: Recipe, candidate: Arm
) -> pacing.Pace:
    """Sets how long trainings are from here on; returns the sizes with it."""
    session.epochs = session.ledger.decide(
        "length", lambda: pacing.lengthened(session, pace, baseline, candidate)
    )
    return pacing.of_length(pace, session.epochs)


def _network(options: Options, facts: Facts) -> Recipe:
    """Returns what networks are searched from: a network, also where a learner is to be beaten."""
    given: Recipe | None = options.baseline
    return default_baseline(facts) if given is None or given.learner else given


def _candidates(
    session: Session,
    start: Recipe,
    pace: pacing.Pace,
    found: tuple[list[TrialRecord], list[TrialRecord]],
    options: Options,
) -> tuple[list[Arm], set[str]]:
    """Lets the best recipes race; returns what may be confirmed, best first, at least one.

    And the identifiers of those that are probably worse than another, or did not race beside it.

    Args:
        session: The campaign's.
        start: Where the search started.
        pace: Its sizes.
        found: Trials of the search, and of learners.
        options: Its options.
    """
    trials, tried = found
    session.clock.floor = pacing.floor(session, pace)
    rows, most = session.rows.search[0], options.max_parameters
    good = [
        recipe
        for recipe in starts(start, session.facts, options.only)
        if most is None or not too_large(cost_of(session.problem, recipe, rows), most)
    ]
    sign = session.problem.objective.sign

    every = ranked([*trials, *tried], sign, len(trials) + len(tried))
    standing = {recipe.structure: place for place, recipe in enumerate(every)}

    def entrants(count: int) -> list[Recipe]:
        """As many networks as there are places, and as many learners; for one place whatever is best."""
        if count == 1:
            return every[:1]
        if options.ensemble == "snapshots":
            best = next((recipe for recipe in every if recipe.learner is None), start)
            return list(dict.fromkeys((best, *snapshots(best))))
        both = [*contenders(trials, sign, count, good=good), *unlike(tried, sign, count)]
        return sorted(both, key=lambda recipe: standing.get(recipe.structure, len(standing)))

    wanted = bool(tried) if options.ensemble == "auto" else options.ensemble != "none"
    blended = pacing.BLENDED if wanted else 0.0

    def planned() -> dict[str, Any]:
        found = pacing.finalists(session, pace, [*trials, *tried], entrants, blended=blended)
        return found._asdict()

    race_ = pacing.RacePlan(**session.ledger.decide("race", planned))
    recipes = [r for r in entrants(race_.places) if r.id not in race_.without] or [start]
    racing = race(session, recipes, race_.pairs)
    arms = candidates(racing, recipes, options.ensemble)
    others = [Single(recipe) for recipe in (*recipes, *good)] if trials or tried else []
    worse = set[str]()
    if racing is not None:
        raced = {arm.id for arm in arms}
        worse = behind(racing, recipes) | ({each.id for each in others} - raced)
    return list({arm.id: arm for arm in (*arms, *others)}.values()), worse
