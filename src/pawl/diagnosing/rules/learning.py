"""Rules on how it learns: learning rate, spikes, plateaus, length.

Rates are judged by rivals: the same training, from the same start over the same batches, at a tenth and
at ten times the rate, for a third of the steps; further off while that learns more.
"""

from __future__ import annotations

import math
import statistics

from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Rival, Training
from pawl.diagnosing.rules.gains import LIKELY, MARGIN, gained, helps, strength

_WORSE = 2.0
NOTHING = 0.02
STILL_FALLING = 0.15
SUSPECTED = 0.6
"""Of what is told of without a trial: enough to try a longer training."""
_SPIKE, _SPIKES = 3.0, 2
_FEWEST_BEFORE, _WINDOW = 2, 8
_FEWEST_TIMED, _WAITING = 20, 0.5


def learning_rate_too_high(run: Training) -> Finding | None:
    """A third of the steps at a lower rate learns more than the whole training.

    More of the training rows than at the end, or more of the validation rows than at any reading.
    """
    slower = [each for each in run.rivals if each.rate < 1]
    if not slower:
        return None
    on_train = max(slower, key=lambda each: run.explained(each.train_loss))
    on_valid = max(slower, key=lambda each: run.explained(each.valid_loss))
    best = max((run.explained(each.valid_loss) for each in run.readings), default=-math.inf)
    seen = (
        (
            _learned(run),
            run.explained(on_train.train_loss),
            on_train,
            "training rows",
            "at its end",
        ),
        (best, run.explained(on_valid.valid_loss), on_valid, "other rows", "at best"),
    )
    for mine, theirs, rival, rows, when in seen:
        left, their_left = 1.0 - max(mine, -1.0), 1.0 - theirs
        if theirs < mine + MARGIN or theirs < MARGIN or left < 1.25 * their_left:
            continue
        return Finding(
            rule="learning_rate_too_high",
            severity="critical" if mine < theirs / 2 else "warning",
            evidence=f"at {rival.rate:g} times the learning rate, {rival.step:,} steps explain "
            f"{theirs:.0%} of what a constant loses on {rows}; at the present rate "
            f"{run.last.step:,} steps {_told(mine)} {when}",
            strength=min(100.0, left / max(1.25 * their_left, 1e-9)),
            suggests=(*_optimizer(run), "cosine", "one_cycle", "gradient_clipping"),
            advice="a lower learning rate",
            tries=_at(run, rival),
        )
    return None


def learning_rate_too_low(run: Training) -> Finding | None:
    """A third of the steps at ten times the rate learns twice as much as the whole training."""
    rivals = [each for each in run.rivals if each.rate > 1 and math.isfinite(each.train_loss)]
    if not rivals or not run.whole:
        return None
    faster = min(rivals, key=lambda each: each.train_loss)
    mine, theirs = _learned(run), run.explained(faster.train_loss)
    if theirs < 2 * MARGIN or theirs < _WORSE * max(mine, 0.0):
        return None
    return Finding(
        rule="learning_rate_too_low",
        severity="critical" if mine < theirs / 4 else "warning",
        evidence=f"at {faster.rate:g} times the learning rate, {faster.step:,} steps explain "
        f"{theirs:.0%} of what a constant loses on training rows; at the present rate "
        f"{run.last.step:,} steps {_told(mine)}",
        strength=min(100.0, theirs / max(_WORSE * mine, 1e-9)),
        suggests=_optimizer(run),
        advice="a higher learning rate",
        tries=_at(run, faster),
    )


def plateau(run: Training) -> Finding | None:
    """A training that never gets below the loss of predicting a constant."""
    if not run.whole or not math.isfinite(run.constant_loss):
        return None
    best = max(run.explained(reading.train_loss) for reading in run.readings)
    if best >= NOTHING:
        return None
    return Finding(
        rule="plateau",
        severity="critical",
        evidence=f"in {run.last.step:,} steps the model explains at most {max(best, 0.0):.1%} of what a "
        "constant loses on the rows that it trains on",
        strength=2.0,
        suggests=("batch_norm", "residual", "initialization", "activation", *_optimizer(run)),
    )


def still_falls(run: Training) -> float:
    """Returns the share of a loss's fall that its last quarter has, over the most that is healthy.

    Of training or validation rows, whichever is less; 0 where a training did not come to its planned
    end, or hardly fell.
    """
    if run.status != "completed" or len(run.readings) < 3:
        return 0.0
    names = ("train_loss",) if math.isnan(run.last.valid_loss) else ("train_loss", "valid_loss")
    fell = run.first.train_loss - run.last.train_loss
    if fell < NOTHING * run.reference:
        return 0.0
    return min(map(run.late_share, names)) / STILL_FALLING


def not_converged(run: Training) -> Finding | None:
    """A training that came to its planned end while it was still getting better.

    Where a longer one was tried, it must lose less of other rows.
    """
    late, longer = still_falls(run), run.trial("passes")
    if late < (1 if longer is None else SUSPECTED):
        return None
    if longer is not None and not helps(run, longer):
        return None
    evidence = _late(run, late * STILL_FALLING)
    if longer is not None:
        evidence += f"; {longer.value:g} times as many lose {gained(run, longer.gain)}"
    return Finding(
        rule="not_converged",
        severity="warning",
        evidence=evidence,
        strength=late if longer is None else max(late, strength(run, longer.gain, LIKELY)),
        suggests=_optimizer(run),
        advice="a longer training, or a higher learning rate",
    )


def _late(run: Training, share: float) -> str:
    """Says what share of the fall comes late: above 1 where the loss was higher then than at first."""
    part = f"{share:.0%}" if share < 1 else "all"
    risen = any(each.train_loss > run.first.train_loss for each in run.readings)
    return (
        f"{part} of the fall of the loss comes in the last quarter of the {run.last.step:,} steps"
        + (", after it had risen" if share > 1 and risen else "")
    )


def loss_spikes(run: Training) -> Finding | None:
    """Losses that jump to several times what they were just before, more than once."""
    values = [(step, loss) for step, loss in run.losses if math.isfinite(loss)]
    found = []
    for place in range(_FEWEST_BEFORE, len(values)):
        before = statistics.median(loss for _, loss in values[max(0, place - _WINDOW) : place])
        step, loss = values[place]
        if before > 0 and loss > _SPIKE * before and loss > before + 0.5 * run.reference:
            found.append((loss / before, step))
    if len(found) < _SPIKES:
        return None
    factor, step = max(found)
    return Finding(
        rule="loss_spikes",
        severity="warning",
        evidence=f"the training loss jumped {len(found)} times to {_SPIKE:g} times and more of what it "
        f"was just before, at step {step:,} to {factor:.0f} times",
        strength=len(found) / _SPIKES,
        suggests=("gradient_clipping", "adaptive_clipping", "one_cycle", "batch_norm"),
        advice="a lower learning rate",
    )


def data_starves(run: Training) -> Finding | None:
    """Steps that mostly wait for their data."""
    times = run.times
    if times is None or times.steps < _FEWEST_TIMED or not times.whole > 0:
        return None
    share = times.data / times.whole
    if share < _WAITING:
        return None
    return Finding(
        rule="data_starves",
        severity="warning",
        evidence=f"{share:.0%} of the time of {times.steps:,} steps went by before the next batch was "
        f"there ({1000 * times.data:.3g} of {1000 * times.whole:.3g} ms)",
        strength=share / _WAITING,
        advice="more workers that load data, or data that are kept in memory as the model takes them",
    )


def _told(explained: float) -> str:
    return "diverge" if explained == -math.inf else f"explain {max(explained, 0.0):.0%}"


def _learned(run: Training) -> float:
    """Returns what the training explains at its end of the rows that it trains on."""
    if run.status == "diverged" or not run.readings:
        return -math.inf
    return run.explained(run.last.train_loss)


def _at(run: Training, rival: Rival) -> dict[str, float]:
    """Returns the settings of the optimizer with which a rival learned."""
    known = math.isfinite(run.rate) and bool(_optimizer(run))
    return {"learning_rate": float(f"{rival.rate * run.rate:.3g}")} if known else {}


def _optimizer(run: Training) -> tuple[str, ...]:
    """Returns the optimizer's name: its settings are what is to be changed."""
    return tuple(name for name in run.techniques if name == run.optimizer)


RULES = (
    learning_rate_too_high,
    learning_rate_too_low,
    plateau,
    not_converged,
    loss_spikes,
    data_starves,
)
