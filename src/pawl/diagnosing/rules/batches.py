"""Rules on how many rows a step has: too few, too many.

What is suspected is tried: the same training with other batches. A batch is blamed where that loses
less of rows that do not train.
"""

from __future__ import annotations

import math

from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Training, Trial
from pawl.diagnosing.rules.gains import LEAST, LIKELY, MARGIN, gained, helps, learns_more, strength
from pawl.diagnosing.rules.learning import NOTHING, STILL_FALLING

SMALL, FEW_STEPS = 8, 4
"""Rows of a step, and steps of a pass, from which on they are suspected."""
_HELD_UP, _HELD_UP_OF_REST = 0.03, 0.1
_FEWEST_VALUES = 3


def batch_too_small(run: Training) -> Finding | None:
    """Small batches that cost something.

    Larger ones learn more; or the mean of late weights loses much less than they do, as noise moves them
    about; or batch normalization has two values to take a deviation of, and returns plus and minus one,
    whatever they are.
    """
    if not run.whole or not run.readings or run.batch > SMALL or not run.reference > 0:
        return None
    larger, known = run.trial("batch"), run.statistics
    still = (run.last.batch_loss - run.averaged_loss) / run.reference
    limit = max(_HELD_UP, _HELD_UP_OF_REST * run.last.batch_loss / run.reference)
    if known is not None and known.values < _FEWEST_VALUES:
        evidence = (
            f"batch normalization takes means and deviations of {known.values} values in a step, and "
            "returns plus and minus one, whatever they are"
        )
        found = _FEWEST_VALUES / known.values
    elif larger is not None and helps(run, larger):
        evidence = f"{_steps(larger)} lose {gained(run, larger.gain)} than those of {run.batch}"
        found = strength(run, larger.gain)
    elif still >= limit:
        evidence = (
            f"the mean of the weights of the last third of the steps loses {still:.0%} of what a "
            f"constant loses less than the last weights do: batches of {run.batch} rows keep them "
            "moving about"
        )
        found = still / limit
    else:
        return None
    return Finding(
        rule="batch_too_small",
        severity="warning",
        evidence=evidence,
        strength=found,
        suggests=("batch_size", "ema", "cosine"),
        advice="larger batches, or a lower learning rate",
        tries=_size(larger),
    )


def batch_too_large(run: Training) -> Finding | None:
    """Batches of a large part of the rows: few steps, and smaller ones learn more of the same passes.

    Where that is not sure, a loss that still falls, or more that is learned by larger steps.
    """
    per_epoch = run.rows // max(1, run.batch)
    if per_epoch > FEW_STEPS or run.status != "completed" or len(run.readings) < 3:
        return None
    smaller, found = run.trial("batch"), FEW_STEPS / max(1, per_epoch)
    faster = max(
        (run.explained(each.train_loss) for each in run.rivals if each.rate > 1), default=-math.inf
    )
    if smaller is not None and smaller.gain.mean < LEAST * run.reference:
        return None
    if smaller is not None and learns_more(run, smaller):
        why = f"{_steps(smaller)} lose {gained(run, smaller.gain)}"
        found = strength(run, smaller.gain, LIKELY)
    elif _falls(run):
        why = f"the loss still falls after {run.last.step:,} steps"
    elif faster >= run.explained(run.last.train_loss) + MARGIN:
        why = f"larger steps learn more than these {run.last.step:,}"
    else:
        return None
    return Finding(
        rule="batch_too_large",
        severity="warning",
        evidence=f"a batch has {run.batch:,} of {run.rows:,} rows, so that a pass is {per_epoch} "
        f"step(s), and {why}",
        strength=found,
        suggests=("batch_size",),
        tries=_size(smaller),
    )


def _falls(run: Training) -> bool:
    """Tells whether the loss as the model trains still falls: kept statistics lag in a dozen steps."""
    fell = run.first.batch_loss - run.last.batch_loss
    return run.late_share("batch_loss") >= STILL_FALLING and fell >= NOTHING * run.reference


def _steps(trial: Trial) -> str:
    return f"{trial.step:,} steps of {trial.value:,.0f} rows"


def _size(trial: Trial | None) -> dict[str, float]:
    return {} if trial is None else {"size": int(trial.value)}


RULES = (batch_too_small, batch_too_large)
