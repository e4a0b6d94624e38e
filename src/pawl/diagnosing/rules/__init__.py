"""The rules: each a pure function of what was measured that returns a finding, or `None`.

A rule is added by writing it and naming it in the `RULES` of its file. Its limits are ratios, which no
scale of data, loss or weights changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Training
from pawl.diagnosing.rules import batches, columns, fit, gradients, learning, rows, units

OfData = Callable[[DataFacts], Finding | None]
OfTraining = Callable[[Training], Finding | None]
OfBoth = Callable[[Training, DataFacts], Finding | None]

DATA_RULES: Sequence[OfData] = (*columns.RULES, *rows.RULES)
TRAINING_RULES: Sequence[OfTraining] = (
    *gradients.RULES, *units.RULES, *learning.RULES, *batches.RULES,
)  # fmt: skip
FIT_RULES: Sequence[OfBoth] = fit.RULES

BECAUSE_OF: Mapping[str, tuple[str, ...]] = {
    "exploding_gradients": (
        "non_finite", "unscaled_inputs", "poor_initialization", "learning_rate_too_high",
    ),
    "poor_initialization": ("unscaled_inputs",),
    "vanishing_gradients": ("dead_units",),
    "loss_spikes": ("learning_rate_too_high", "non_finite"),
    "learning_rate_too_low": ("normalization_disagrees",),
    "normalization_disagrees": (
        "unscaled_inputs", "non_finite", "learning_rate_too_high", "batch_too_large", "batch_too_small",
    ),
    "plateau": (
        "not_converged", "non_finite", "learning_rate_too_high", "learning_rate_too_low", "dead_units",
        "vanishing_gradients", "saturated_units", "unscaled_inputs", "normalization_disagrees",
        "poor_initialization",
    ),
    "not_converged": ("learning_rate_too_low", "batch_too_large", "model_too_small"),
    "underfitting": (
        "plateau", "not_converged", "dead_units", "vanishing_gradients", "non_finite",
        "saturated_units", "unscaled_inputs", "outliers", "normalization_disagrees",
        "poor_initialization", "weak_signal", "model_too_small",
    ),
    "layer_never_learns": ("vanishing_gradients", "dead_units", "learning_rate_too_low"),
    "weak_signal": ("label_errors",),
    "model_too_large": ("label_errors", "weak_signal"),
    "overfitting": ("label_errors", "weak_signal"),
}  # fmt: skip
"""What a symptom may come from: with such a finding it is not told of."""
_ORDER = ("critical", "warning", "info")


def of_data(data: DataFacts) -> list[Finding]:
    """Returns what the rules on data find."""
    return [found for rule in DATA_RULES if (found := rule(data)) is not None]


def of_training(run: Training, data: DataFacts) -> list[Finding]:
    """Returns what the rules on a training find; nothing of one that failed."""
    if not run.readings:
        return []
    found = [each for rule in TRAINING_RULES if (each := rule(run)) is not None]
    return found + [each for fit_rule in FIT_RULES if (each := fit_rule(run, data)) is not None]


def settled(found: Sequence[Finding]) -> list[Finding]:
    """Returns findings without those that others explain, the gravest first."""
    names = {each.rule for each in found}
    told = [each for each in found if not names & set(BECAUSE_OF.get(each.rule, ()))]
    return sorted(told, key=lambda each: _ORDER.index(each.severity))


def names() -> list[str]:
    """Returns the names of all rules' functions."""
    every: list[Callable[..., Finding | None]] = [*DATA_RULES, *TRAINING_RULES, *FIT_RULES]
    return [rule.__name__ for rule in every]
