"""`compress`: a smaller and faster bundle that is shown to lose little, or the same one."""

from __future__ import annotations

from typing import Any

from pawl.compression.result import RECORD, Compressed
from pawl.compression.rows import given_rows
from pawl.compression.run import Settings, run
from pawl.compression.writing import write
from pawl.data import resolve_task
from pawl.deployment import Bundle
from pawl.errors import LimitError, TaskError, option
from pawl.execution import Silent, driving
from pawl.ledger import place_of
from pawl.options import CompressCall, of_bundle
from pawl.task import Objective, Task
from pawl.training.metrics import METRICS, make_objective


@of_bundle(CompressCall)
@driving()
def compress(bundle: Any, data: Any, call: CompressCall) -> Compressed:
    """Makes a bundle smaller and faster, and keeps only what is shown to lose little.

    Steps: fewer members, one network taught by all of them, fewer units of it, a cleaned graph, layers
    as two thin ones, integers of 8 bits (trained as they round, where they lose too much without),
    weights of 8 bits, weights of zero that are not kept, weights of 16 shared values, constants of 16
    bits. Each is measured first (it must make
    the model 1.02 times as fast or as small as what there was, and lose in neither), then tested on rows
    that had no part in it: one-sided, with a joint error of 5% over all steps, its loss against the
    original must be below `max_loss`. If no step is kept, the new bundle is the one given.

    Then other orders of steps are tried (units taken out before a network is taught, integers before
    thin layers, shared values before zeros), as far as they could differ; one is kept by the same rule.

    With limits only what these are about counts, and steps are taken until they are kept, those that
    train nothing first: little is lost for more than was asked.

    Args:
        bundle: A bundle, its folder, or its campaign's.
        data: Rows with targets, in the form of the training data, or the task (`module.py`) that has
            them: then a model and a metric of your own come with it. Those of the bundle's own campaign
            are known again, and its test rows judge; of others, half does.

    Raises:
        LimitError: What is left does not keep within `max_latency`, `max_size` or `max_memory`; it is
            written all the same.
        PawlError: Any wrong input, in one line.
    """
    folder = place_of(call.out)
    listener = call.listener or Silent()
    listener.phase("read", "bundle and rows")
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    task = resolve_task(data)
    objective = _objective(opened, task, call.metric)
    rows = given_rows(opened, task, call.seed)
    if call.unlabeled is not None:
        rows = rows.with_unlabeled(opened, call.unlabeled)
    settings = Settings(
        call, call.batch, call.seed, task.model if call.model is None else call.model, listener,
        runtimes=call.runtimes, orders=call.orders,
    )  # fmt: skip
    pressed = run(opened, objective, rows, settings, folder)
    write(opened, pressed)
    found = pressed.found
    if found.missed:
        raise LimitError(
            f"no model that is shown to lose less than {call.allowed} of {found.metric} keeps within "
            f"{'; '.join(found.missed)}; it is in {str(folder)!r} ({RECORD} has all that was tried); "
            f"give a wider limit, or a larger {option('max_loss')}"
        )
    return found


def _objective(bundle: Bundle, task: Task, given: Any) -> Objective:
    """Returns the metric that was given, else the bundle's, which may be a function of the task's."""
    kind, known = bundle.schema.kind, bundle.task.get("metric")
    direction = bundle.task.get("direction") or task.direction
    own = given if given is not None or known in METRICS else task.metric
    if own is not None:
        return make_objective(own, None if isinstance(own, str) else direction, kind)
    if known is not None and known not in METRICS:
        raise TaskError(
            f"the bundle's metric {known!r} is a function of your own; give the module.py that its "
            "campaign was given, or in Python metric=, or the name of another"
        )
    return make_objective(known, None, kind)
