"""Rules on what layers return: dead and saturated units, scales of inputs, normalization."""

from __future__ import annotations

from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Training, UnitReading
from pawl.diagnosing.rules.gains import gained, strength, worth

_MANY = 0.5
_FEWEST_UNITS = 8
_DISAGREES = 0.25
_BEHIND = 0.5
_LARGE, _APART = 30.0, 100.0


def dead_units(run: Training) -> Finding | None:
    """A layer half of whose units return the same for every row."""
    found = [u for u in _last(run) if u.units >= _FEWEST_UNITS and u.dead >= _MANY]
    if not found:
        return None
    worst = max(found, key=lambda unit: unit.dead)
    return Finding(
        rule="dead_units",
        severity="critical" if worst.dead >= 0.95 else "warning",
        evidence=f"{worst.dead:.0%} of the {worst.units} units of {worst.name!r} ({worst.function}) "
        f"return the same for every row at step {run.last.step:,}; so do half or more in {len(found)} "
        "layer(s)",
        strength=worst.dead / _MANY,
        # Normalized inputs let units live wherever their biases are; few activations do.
        suggests=(
            "batch_norm",
            "layer_norm",
            "initialization",
            "activation",
            "parametric_activation",
        ),
        advice="a lower learning rate",
    )


def saturated_units(run: Training) -> Finding | None:
    """A layer half of whose units sit at the ends of their range."""
    found = [u for u in _last(run) if u.units >= _FEWEST_UNITS and u.saturated >= _MANY]
    if not found:
        return None
    worst = max(found, key=lambda unit: unit.saturated)
    return Finding(
        rule="saturated_units",
        severity="warning",
        evidence=f"{worst.saturated:.0%} of the {worst.units} units of {worst.name!r} "
        f"({worst.function}) are at an end of their range for nearly every row at step "
        f"{run.last.step:,}: no gradient comes through",
        strength=worst.saturated / _MANY,
        suggests=("activation", "batch_norm", "layer_norm", "initialization"),
    )


def unscaled_inputs(run: Training) -> Finding | None:
    """Inputs that reach the network large, or with scales far apart."""
    worst = max(
        run.scales, key=lambda scale: max(scale.size / _LARGE, scale.apart / _APART), default=None
    )
    if worst is None or (worst.size < _LARGE and worst.apart < _APART):
        return None
    return Finding(
        rule="unscaled_inputs",
        severity="warning",
        evidence=f"what the network gets as {worst.name!r} has a root mean square of {worst.size:,.4g}, "
        f"and the largest deviation of a column is {worst.apart:,.4g} times the smallest",
        strength=max(worst.size / _LARGE, worst.apart / _APART),
        suggests=("standardize", "robust_scale", "quantile_normal", "normalize"),
    )


def normalization_disagrees(run: Training) -> Finding | None:
    """A model that loses more as it is evaluated, by what it keeps of its batches.

    More than as it trains, on the same rows; or, where statistics lag behind, more than with statistics
    that are taken anew.
    """
    if not run.readings or not run.reference > 0:
        return None
    late = run.readings[-max(1, len(run.readings) // 4) :]
    # Of a loss that is far above a constant's, rows that are not quite the same differ by more.
    gaps = sorted(
        (each.train_loss - each.batch_loss) / max(run.reference, each.batch_loss) for each in late
    )
    gap, known = gaps[len(gaps) // 2], run.statistics
    if known is not None and known.behind >= _BEHIND and worth(run, known.gain):
        evidence = (
            f"statistics that are kept for evaluation are {known.behind:.0%} as far from what layers "
            "see as they were at the start; taken anew, with all weights as they are, the model loses "
            f"{gained(run, known.gain)}"
        )
        found = strength(run, known.gain)
    elif gap >= _DISAGREES:
        evidence = (
            f"on the same rows the model loses {gap:.0%} of what a constant loses more when it is "
            "evaluated than when it trains: statistics of batches and those kept for evaluation disagree"
        )
        found = gap / _DISAGREES
    else:
        return None
    return Finding(
        rule="normalization_disagrees",
        severity="warning",
        evidence=evidence,
        strength=found,
        suggests=("layer_norm", "group_norm", "rms_norm"),
        advice="statistics that follow faster (momentum), larger batches, or a normalization of single "
        "rows",
    )


def _last(run: Training) -> list[UnitReading]:
    return list(run.last.units) if run.readings else []


RULES = (dead_units, saturated_units, unscaled_inputs, normalization_disagrees)
