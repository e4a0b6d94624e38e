"""What counts as a gain on the same rows, and how it is told."""

from __future__ import annotations

from pawl.diagnosing.record import Gain, Training, Trial

MARGIN, _LEAST = 0.05, 0.02
"""Of what a constant loses: more on training rows, and on others."""
_TWO_SIDED = 1.96


def worth(run: Training, gain: Gain) -> bool:
    """Tells whether a gain is one for more rows than these, and large enough to matter."""
    return gain.least() > 0 and gain.mean >= _LEAST * run.reference


def learns_more(run: Training, trial: Trial) -> bool:
    """Tells whether a trial learns more: surely on the rows that train, and not for these alone.

    Where less is learned than could be, training rows show it best, as there are more of them; other
    rows must gain as well, by a standard error.
    """
    learned = trial.train_gain
    more = learned.least() > 0 and learned.mean >= MARGIN * run.reference
    return more and trial.gain.least(1.0) > 0 and trial.gain.mean >= _LEAST * run.reference


def strength(run: Training, gain: Gain) -> float:
    """Returns a gain over the least that counts."""
    return min(100.0, gain.mean / (_LEAST * run.reference))


def gained(run: Training, gain: Gain) -> str:
    """Says a gain with its interval."""
    share, error = gain.mean / run.reference, _TWO_SIDED * gain.error / run.reference
    return (
        f"{share:.0%} of what a constant loses less ({share - error:.0%} to {share + error:.0%}: 95% "
        f"over {gain.rows:,} rows, of one training each)"
    )
