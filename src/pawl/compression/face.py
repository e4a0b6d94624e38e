"""`compress`: a smaller and faster bundle that is shown to lose little, or the same one."""

from __future__ import annotations

from typing import Any

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.chain import Chain, planned_tests
from pawl.compression.judging import Judge
from pawl.compression.result import RECORD, Compressed, Measured
from pawl.compression.rows import GivenRows, given_rows
from pawl.compression.work import Goals, Work
from pawl.compression.writing import write
from pawl.data.types import Examples
from pawl.deployment import BATCH_ROWS, Bundle
from pawl.deployment.export import predict
from pawl.errors import LimitError, TaskError, option
from pawl.execution import Silent, driving
from pawl.kinds import KINDS, Conformal
from pawl.ledger import Ledger
from pawl.options import CompressCall, of_bundle
from pawl.task import Objective
from pawl.training.metrics import METRICS, make_objective


@of_bundle(CompressCall)
@driving()
def compress(bundle: Any, data: Any, call: CompressCall) -> Compressed:
    """Makes a bundle smaller and faster, and keeps only what is shown to lose little.

    Steps: fewer members, one network taught by all of them, fewer units of it, a cleaned graph, integers
    of 8 bits, constants of 16 bits. Each is measured first (it must make the model 1.02 times as fast or
    as small as what there was, and lose in neither), then tested on rows that had no part in it:
    one-sided, with a joint error of 5% over all steps, its loss against the original must be below
    `max_loss`. If no step is kept, the new bundle is the one given.

    Args:
        bundle: A bundle, its folder, or its campaign's.
        data: Rows with targets, in the form of the training data. Those of the bundle's own campaign are
            known again, and its test rows judge; of others, half does.

    Raises:
        LimitError: What is left does not keep within `max_latency` or `max_size`; it is written all the
            same.
        PawlError: Any wrong input, in one line.
    """
    folder = Ledger.place(call.out)
    listener = call.listener or Silent()
    listener.phase("read", "bundle and rows")
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    objective = _objective(opened, call)
    rows = given_rows(opened, data, call.seed)
    weights = Weights.read(opened.folder / "model.safetensors")
    graph = (opened.folder / "model.onnx").read_bytes()
    exact = opened.task.get("compressed", {}).get("exact", True)
    original = Candidate("original", "", graph, weights, is_exact=exact)
    tests = planned_tests(weights)
    expected = opened.predict_raw(rows.judge)
    judge = Judge(objective, rows.judge, expected, call.allowed, tests)
    judge.check(expected)
    chain = Chain(_work(opened, objective, rows, original, call), judge, rows.judge, original)
    chain.run()
    listener.phase("measure", "all candidates side by side")
    batch_rows = call.batch if call.batch > 1 else BATCH_ROWS
    before, tried = chain.measured(batch_rows)
    front, tried = chain.front(before, tried, batch_rows)
    kept = [each.record.measured for each in tried if each.record.accepted]
    after = kept[-1] if kept else before
    assert after is not None
    conformal, notes = opened.conformal, list[str]()
    if "compressed" in opened.task:
        notes.append("the bundle given was compressed before: what it lost then comes on top")
    if kept and conformal is not None:
        conformal, note = _calibrated(opened, chain.current, rows.judge, conformal.coverage)
        notes.append(note)
    found = Compressed(
        folder=folder, metric=objective.metric, allowed=judge.margin, rows=len(rows.judge),
        told=rows.told, level=judge.level, original=before, final=after, batch_rows=batch_rows,
        steps=tuple(each.record for each in tried), notes=tuple(notes), front=tuple(front),
        campaign=rows.campaign,
    )  # fmt: skip
    write(folder, opened, chain.current, found, conformal)
    _check_limits(found, after, call)
    return found


def _calibrated(
    bundle: Bundle, final: Candidate, rows: Examples, coverage: float
) -> tuple[Conformal | None, str]:
    """Returns a new model's intervals or sets, by the rows that judged it, and what is said of them."""
    predicted, kind = predict(final.graph, rows), KINDS[bundle.schema.kind]
    found = Conformal.of(kind, predicted, rows.known_targets.numpy(), coverage)
    if found is None:
        return (
            None,
            f"{len(rows):,} rows are too few for a coverage of {coverage:g}, which is left out",
        )
    return found, f"what covers {coverage:.0%} of new rows was made anew, by the rows that judged"


def _objective(bundle: Bundle, call: CompressCall) -> Objective:
    kind, known = bundle.schema.kind, bundle.task.get("metric")
    direction = bundle.task.get("direction")
    if call.metric is not None:
        return make_objective(
            call.metric, None if isinstance(call.metric, str) else direction, kind
        )
    if known is not None and known not in METRICS:
        raise TaskError(
            f"the bundle's metric {known!r} is a function of your own; give it in Python, as metric=, "
            "or the name of another"
        )
    return make_objective(known, None, kind)


def _work(
    bundle: Bundle, objective: Objective, rows: GivenRows, original: Candidate, call: CompressCall
) -> Work:
    choices = rows.choices(call.seed)
    speed, size = call.max_latency is not None, call.max_size is not None
    return Work(
        schema=bundle.schema,
        objective=objective,
        rows=rows.work,
        choices=choices,
        judge=Judge(objective, choices, predict(original.graph, choices), call.allowed),
        original=original.weights,
        teacher=lambda examples: predict(original.graph, examples),
        goals=Goals(speed or not size, size or not speed, call.batch),
        seed=call.seed,
        shift=float(original.weights.tensors.get("shift", 0.0)),
        model=call.model,
        start=bundle.task.get("start"),
        listener=call.listener or Silent(),
    )


def _check_limits(found: Compressed, after: Measured, call: CompressCall) -> None:
    """Raises `LimitError` where a limit is not kept."""
    single = call.batch == 1
    spent, low_high = (
        (after.latency_ms, after.latency_interval)
        if single
        else (after.batch_latency_ms, after.batch_latency_interval)
    )
    missed = []
    if call.most_ms is not None and spent > call.most_ms:
        low, high = low_high
        missed.append(
            f"{option('max_latency', call.max_latency)}: the nearest takes {spent:.3g} ms (95% "
            f"{low:.3g} to {high:.3g})"
        )
    if call.most_bytes is not None and after.size_bytes > call.most_bytes:
        missed.append(
            f"{option('max_size', call.max_size)}: the nearest has {after.size_bytes:,} bytes"
        )
    if missed:
        raise LimitError(
            f"no model that is shown to lose less than {call.allowed} of {found.metric} keeps within "
            f"{'; '.join(missed)}; it is in {str(found.folder)!r} ({RECORD} has all that was tried); "
            f"give a wider limit, or a larger {option('max_loss')}"
        )
