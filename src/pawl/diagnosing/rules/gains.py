"""What counts as a gain on the same rows, and how it is told."""

from __future__ import annotations

from pawl.diagnosing.record import ONE_SIDED, Gain, Training, Trial

MARGIN, LEAST = 0.05, 0.02
"""Of what a constant loses: more on training rows, and on others."""
LIKELY = 1.0
"""Standard errors of a gain on other rows where training rows surely gain."""
_TWO_SIDED = 1.96


def worth(run: Training, gain: Gain) -> bool:
    """Tells whether a gain is one for more rows than these, and large enough to matter."""
    return gain.least() > 0 and gain.mean >= LEAST * run.reference


def learns_more(run: Training, trial: Trial) -> bool:
    """Tells whether a trial learns more: surely on the rows that train, and not for these alone.

    Where less is learned than could be, training rows show it best, as there are more of them; other
    rows must gain as well, by a standard error.
    """
    learned = trial.train_gain
    more = learned.least() > 0 and learned.mean >= MARGIN * run.reference
    return more and trial.gain.least(LIKELY) > 0 and trial.gain.mean >= LEAST * run.reference


def helps(run: Training, trial: Trial) -> bool:
    """Tells whether a trial surely loses less of other rows, or learns more."""
    return worth(run, trial.gain) or learns_more(run, trial)


def strength(run: Training, gain: Gain, errors: float = ONE_SIDED) -> float:
    """Returns a gain over the least that counts: that matters, or is more than chance.

    Args:
        run: The training.
        gain: What a change gained.
        errors: Standard errors that it has to be above 0.
    """
    least = max(LEAST * run.reference, errors * gain.error)
    return min(100.0, gain.mean / least)


def gained(run: Training, gain: Gain) -> str:
    """Says a gain with its interval."""
    share, low, high = _interval(run, gain)
    return (
        f"{share:.1%} of what a constant loses less ({low:.1%} to {high:.1%}: 95% "
        f"over {gain.rows:,} rows, of one training each)"
    )


def tried(run: Training, trial: Trial) -> str:
    """Says what was tried, and what it gained or lost on rows that did not train."""
    share, low, high = _interval(run, trial.gain)
    what = {
        "batch": f"{trial.step:,} steps of {trial.value:,.0f} rows",
        "width": f"layers {trial.value:g} times as wide, {trial.step:,} steps",
        "passes": f"{trial.value:g} times the passes, {trial.step:,} steps",
    }[trial.change]
    return f"{what}: {share:+.1%} of what a constant loses gained ({low:+.1%} to {high:+.1%})"


def _interval(run: Training, gain: Gain) -> tuple[float, float, float]:
    """Returns a gain over what a constant loses, low and high of its 95% interval."""
    share, error = gain.mean / run.reference, _TWO_SIDED * gain.error / run.reference
    return share, share - error, share + error
