"""How an explanation differs from another bundle's: both on the same rows, by the same permutations.

Importances are compared column by column. What a row, or a pair of rows, adds to one is taken from what
it adds to the other, so that what both models have in common falls out of the interval.

Shape legend: `K` permutations, `R` rows.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

from pawl.data.types import Examples, Schema
from pawl.errors import DataError, printable
from pawl.evidence import ALPHA, crossed, holdout_score, holm
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.effort import Effort
from pawl.explaining.importance import Measured, measure, num_permutations, sampled_rows
from pawl.explaining.result import Against, Change
from pawl.explaining.subject import Subject, Values
from pawl.task import Objective

_FEW = 2


def check_alike(mine: Schema, other: Schema) -> None:
    """Raises `DataError` unless two bundles predict the same."""
    if mine.kind != other.kind or mine.targets != other.targets:
        raise DataError(
            f"the bundles predict different things ({mine.kind} of {printable(mine.target)!r}, and "
            f"{other.kind} of {printable(other.target)!r}), or other classes; give one of the same task"
        )


def against(
    subject: Subject,
    rows: Examples,
    other: Subject,
    other_rows: Examples,
    objective: Objective,
    name: str,
    *,
    seed: int,
    effort: Effort,
) -> Against:
    """Compares two bundles' importances, scores and predictions.

    The interval of a difference is that of an importance (`importance`), with differences in the place
    of losses; p-values are of Student's t, corrected for the number of columns (Holm).

    Args:
        subject: What is explained.
        rows: With targets, as its bundle reads them.
        other: What it is compared with.
        other_rows: The same rows, as its bundle reads them.
        objective: The metric.
        name: What the other is called.
        seed: Of rows and permutations.
        effort: Fewer permutations are made where it ends before.

    Raises:
        ValueError: The metric is not a number.
        DataError: The bundles do not read the same rows.
    """
    if len(rows) != len(other_rows) or not torch.equal(
        rows.known_targets, other_rows.known_targets
    ):
        raise DataError(
            f"the bundles do not read the same rows of the data ({len(rows):,} and "
            f"{len(other_rows):,}); give rows that both can take"
        )
    mine = {each.name: each for each in subject.features}
    theirs = {each.name: each for each in other.features}
    both = [name for name in mine if name in theirs]
    chosen = torch.from_numpy(sampled_rows(len(rows), max(1, len(both)), seed))
    used, other_used = rows.take(chosen), other_rows.take(chosen)
    permutations = num_permutations(len(used), _FEW * max(1, len(both)))
    found: list[tuple[Change, float]] = []
    done, agreement = 0, None
    if both:
        _, ours = measure(
            subject, used, [(mine[n],) for n in both], objective,
            seed=seed, effort=effort.part(0.5), permutations=permutations,
        )  # fmt: skip
        _, others = measure(
            other, other_used, [(theirs[n],) for n in both], objective,
            seed=seed, effort=effort, permutations=permutations,
        )  # fmt: skip
        done = min(len(ours[0].losses), len(others[0].losses))
        found = [_difference(n, a, b, done) for n, a, b in zip(both, ours, others, strict=True)]
        found = _ranked(found)
        agreement = rank_correlation(
            [each.value for each, _ in found], [each.other for each, _ in found]
        )
    values, other_values = subject.values(used.inputs), other.values(other_used.inputs)
    scores = _scores(subject, used, other, other_used, objective)
    share = subject.kind.exclusive
    return Against(
        name=printable(name),
        metric=objective.metric,
        score=scores[0],
        other_score=scores[1],
        score_difference=scores[2],
        score_interval=scores[3],
        rows=len(used),
        permutations=done,
        same=_same(values, other_values, classes=share),
        same_is="share of rows with the same class" if share else "correlation of predictions",
        agreement=agreement,
        changes=[each for each, _ in found],
        only_here=[name for name in mine if name not in theirs],
        only_there=[name for name in theirs if name not in mine],
    )


def _difference(name: str, one: Measured, other: Measured, done: int) -> tuple[Change, float]:
    """Returns the difference of two importances, not ranked yet."""
    apart = Measured(
        one.losses[:done] - other.losses[:done],
        one.pairs[:done] - other.pairs[:done],
        one.parts[:done] - other.parts[:done],
    )
    value, (low, high) = apart.estimate()
    half, degrees = (high - low) / 2, apart.parts.shape[1] - 1
    error = half / float(special.stdtrit(degrees, 0.975))
    p_value = (
        2 * float(special.stdtr(degrees, -abs(value) / error)) if error > 0 else float(value == 0)
    )
    change = Change(
        name=name, value=one.estimate()[0], other=other.estimate()[0], difference=value,
        interval=(low, high), p_value=p_value, moved=False, rank=0, other_rank=0,
    )  # fmt: skip
    return change, p_value


def _ranked(found: list[tuple[Change, float]]) -> list[tuple[Change, float]]:
    """Returns changes with ranks and corrected p-values, the largest difference first."""
    corrected = holm([p_value for _, p_value in found])
    ranks = [
        np.argsort(np.argsort([-float(getattr(each, of)) for each, _ in found], kind="stable")) + 1
        for of in ("value", "other")
    ]
    ranked = [
        (
            each.model_copy(
                update={
                    "p_value": p_value, "moved": p_value < ALPHA, "rank": int(rank),
                    "other_rank": int(other_rank),
                }
            ),
            p_value,
        )
        for (each, _), p_value, rank, other_rank in zip(found, corrected, *ranks, strict=True)
    ]  # fmt: skip
    return sorted(ranked, key=lambda pair: -abs(pair[0].difference))


def _scores(
    subject: Subject, used: Examples, other: Subject, other_used: Examples, objective: Objective
) -> tuple[float, float, float, tuple[float, float]]:
    """Returns both scores, the difference and its interval over rows."""
    every, targets = torch.arange(len(used)), used.known_targets
    both = [
        holdout_score(objective, torch.from_numpy(each.predict(rows)), targets, every)
        for each, rows in ((subject, used), (other, other_used))
    ]
    one, two = both
    if one is None or two is None:
        raise ValueError(f"{objective.metric} is not a number on these rows")
    gain = crossed(objective, [one], [two], len(used), models_vary=False)
    return one.value, two.value, gain.effect, gain.interval


def _same(values: Values, other: Values, *, classes: bool) -> float:
    if classes:
        return float((values.argmax(1) == other.argmax(1)).mean())
    each = [
        float(np.nan_to_num(np.corrcoef(a, b)[0, 1])) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
        for a, b in zip(values.T, other.T, strict=True)
    ]
    return float(np.mean(each))
