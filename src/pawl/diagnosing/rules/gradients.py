"""Rules on weights and gradients by layer: what fades, what explodes, what never moves.

Gradients are compared as `|g| |w| / loss`, the relative change of the loss where a layer's weights grow
by a part: a pure number, whatever the scale of loss and weights.
"""

from __future__ import annotations

import math
import statistics

from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Reading, Training, WeightReading

_FADED, _FADED_AT_START = 1e-3, 0.01
_EXPLODED = 100.0
_FEWEST_LAYERS = 3
_EARLY = 1 / 3
_STILL, _STILL_AT_ALL = 0.01, 1e-3
_LOSS_AT_START = 3.0
_ALIKE = 0.9
_FEWEST_UNITS = 8
_FADED_SIGNAL = 1e-3


def non_finite(run: Training) -> Finding | None:
    """Losses, weights or gradients that are not finite."""
    bad = [reading for reading in run.readings if reading.non_finite]
    steps = [step for step, loss in run.losses if not math.isfinite(loss)]
    if not (bad or steps or run.status == "diverged"):
        return None
    first = min(
        [*steps, *(each.step for each in bad)], default=run.last.step if run.readings else 0
    )
    what = f"{bad[0].non_finite:,} weights or gradients" if bad else "the loss"
    return Finding(
        rule="non_finite",
        severity="critical",
        evidence=f"{what} {'were' if bad else 'was'} not finite from about step {first:,} of "
        f"{run.total:,} on",
        strength=2.0,
        suggests=_with_scaling(run, "gradient_clipping", "adaptive_clipping", "batch_norm"),
        advice="a lower learning rate",
    )


def vanishing_gradients(run: Training) -> Finding | None:
    """Gradients of the first layer that are a thousandth of the last ones' and less, early on.

    Or a hundredth before the first step, where the first layers come to learn in the end: how far they
    get in the first third depends on the rate.
    """
    ratios = [_first_over_last(reading) for reading in _early(run)]
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return None
    names, ratio = _matrices(run.first), statistics.median(known)
    if ratio <= _FADED:
        when = f"in the first third of the steps (the median of {len(known)} readings)"
        limit, what = _FADED, "the first layers learn nothing"
    elif ratios[0] is not None and ratios[0] <= _FADED_AT_START:
        when, ratio = "before the first step", ratios[0]
        limit, what = _FADED_AT_START, "the first layers learn late"
    else:
        return None
    return Finding(
        rule="vanishing_gradients",
        severity="critical" if limit == _FADED else "warning",
        evidence=f"{when}, the loss depends on {names[0].name!r} {ratio:.1g} times as much as on the "
        f"last layers: {what}",
        strength=min(100.0, limit / max(ratio, 1e-12)),
        suggests=("residual", "batch_norm", "layer_norm", "initialization", "activation"),
    )


def exploding_gradients(run: Training) -> Finding | None:
    """A loss that changes a hundredfold where a layer's weights change by a part."""
    sizes = [(_largest(reading, run), reading) for reading in run.readings if reading.weights]
    above = [(size, reading) for (size, _), reading in sizes if size > _EXPLODED]
    if len(above) < 2 and not (above and above[0][1].step == 0):
        return None
    size, reading = max(above, key=lambda each: each[0])
    (_, name) = _largest(reading, run)
    return Finding(
        rule="exploding_gradients",
        severity="warning",
        evidence=f"at step {reading.step:,}, a change of {name!r} by 1% changes the loss by "
        f"{size:,.0f}% of what predicting a constant loses",
        strength=size / _EXPLODED,
        suggests=(
            "gradient_clipping",
            "adaptive_clipping",
            "batch_norm",
            "layer_norm",
            "initialization",
        ),
    )


def poor_initialization(run: Training) -> Finding | None:
    """First weights that predict far worse than a constant, or units that start alike or silent."""
    if not run.readings:
        return None
    first = run.first
    over = -math.inf
    if math.isfinite(run.zero_loss) and run.zero_loss > 0:
        over = first.train_loss / run.zero_loss
    alike = [u for u in first.units if u.units >= _FEWEST_UNITS and u.alike >= _ALIKE]
    varies = [unit.varies for unit in first.units]
    ratio = varies[-1] / varies[0] if len(varies) > 1 and varies[0] > 0 else 1.0
    suggests: tuple[str, ...] = ("initialization", "batch_norm", "layer_norm")
    if over >= _LOSS_AT_START:
        text = f"before any step the loss is {over:.1f} times that of outputs of zero"
        strength = over / _LOSS_AT_START
    elif alike:
        text = (
            f"{alike[0].alike:.0%} of the {alike[0].units} units of {alike[0].name!r} start as copies "
            "of others"
        )
        strength, suggests = 2.0, suggests[:1]
    elif 0 <= ratio < _FADED_SIGNAL or ratio > 1 / _FADED_SIGNAL:
        text = (
            f"what varies over rows is {ratio:.1g} times as large behind the last activation as behind "
            "the first"
        )
        strength = max(_FADED_SIGNAL / max(ratio, 1e-12), ratio * _FADED_SIGNAL)
    else:
        return None
    return Finding(
        rule="poor_initialization",
        severity="warning",
        evidence=text,
        strength=strength,
        suggests=suggests,
    )


def layer_never_learns(run: Training) -> Finding | None:
    """A layer that never learns while others do."""
    if not run.readings or not run.whole:
        return None
    moved = {
        each.name: each.distance
        for each in run.last.weights
        if each.axes > 1 and not math.isnan(each.distance)
    }
    usual = statistics.median(moved.values()) if moved else 0.0
    pulled = {each.name for reading in run.readings for each in reading.weights if each.gradient}
    still = [
        name
        for name, far in moved.items()
        if name not in pulled or far <= min(_STILL * usual, _STILL_AT_ALL)
    ]
    found = [*run.layers, *still]
    if not found or (still and len(still) == len(moved)):
        return None
    others = [far for name, far in moved.items() if name not in still]
    why = "frozen as drawn"
    if not run.layers:
        why = f"others moved by {_percent(statistics.median(others))} of their norm"
    return Finding(
        rule="layer_never_learns",
        severity="warning",
        evidence=f"{', '.join(map(repr, found[:5]))} learned nothing in {run.last.step:,} steps ({why})",
        strength=2.0,
        suggests=("residual", "initialization") if still else (),
        advice="let it train, or take it out",
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{100 * share:.1g}%"


def _with_scaling(run: Training, *names: str) -> tuple[str, ...]:
    scaled = {"standardize", "normalize", "robust_scale", "quantile_normal", "power_transform"}
    return names if scaled & set(run.techniques) else ("standardize", *names)


def _early(run: Training) -> list[Reading]:
    if not run.readings:
        return []
    return [reading for reading in run.readings if reading.step <= _EARLY * run.last.step]


def _matrices(reading: Reading) -> list[WeightReading]:
    return [each for each in reading.weights if each.axes > 1 and each.norm > 0]


def _first_over_last(reading: Reading) -> float | None:
    """Returns the gradient of the first matrix over those of the last third, each by its norm."""
    layers = [each for each in _matrices(reading) if each.gradient]  # none at all is another fault
    if len(layers) < _FEWEST_LAYERS:
        return None
    sizes = [each.gradient * each.norm for each in layers]
    last = statistics.median(sizes[-max(1, len(sizes) // 3) :])
    return sizes[0] / last if last > 0 and math.isfinite(last) else None


def _largest(reading: Reading, run: Training) -> tuple[float, str]:
    """Returns the most that the loss depends on a layer, relative to the reference, and which."""
    sizes = [(each.gradient * each.norm, each.name) for each in reading.weights]
    size, name = max(((s, n) for s, n in sizes if math.isfinite(s)), default=(0.0, ""))
    reference = run.reference
    return (size / reference if reference > 0 and math.isfinite(reference) else 0.0), name


RULES = (
    non_finite,
    vanishing_gradients,
    exploding_gradients,
    poor_initialization,
    layer_never_learns,
)
