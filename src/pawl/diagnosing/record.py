"""What the instruments saw of a training: readings by layer and over time.

Losses are the task's own, of the model as it is evaluated, on rows that are the same at each reading.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class WeightReading:
    """A tensor of weights at one step.

    Attributes:
        name: Its name in the model.
        axes: Number of its axes; matrices and kernels have two or more.
        norm: Euclidean norm.
        gradient: Norm of the gradient of the training loss.
        moved: Norm of the change of a step over `norm`, the mean over the steps that followed; 0 at
            the last reading.
        distance: Norm of the change since the start over the norm at the start.
    """

    name: str
    axes: int
    norm: float
    gradient: float
    moved: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class UnitReading:
    """What an activation returns at one step.

    Attributes:
        name: Its address (`pawl.models.operations`).
        function: Its class.
        units: Number of units, or channels.
        mean: Of all values.
        std: Of all values.
        varies: Over rows: root mean square of the units' deviations.
        dead: Share of units that return the same for every row.
        saturated: Share of units at an end of the function's range for at least 90% of the rows.
        alike: Share of units that return the same as another one that is not dead.
    """

    name: str
    function: str
    units: int
    mean: float
    std: float
    dead: float
    saturated: float
    alike: float
    varies: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All instruments at one step.

    Attributes:
        step: Steps taken.
        rate: Learning rate of the next step.
        train_loss: On training rows.
        valid_loss: On validation rows; NaN without any.
        train_score: The task's metric on the same training rows.
        valid_score: And on the validation rows.
        batch_loss: On the training rows of `train_loss`, as the model is while it trains (dropout on,
            batch statistics), in batches of the recipe's size.
        noise: Trace of the covariance of single rows' gradients, `S`.
        signal: Squared norm of the expected gradient, `|G|^2`; both may be below 0 by chance.
        non_finite: Weights and gradients that are not finite.
        weights: By tensor, in the model's order.
        units: By activation, in the order in which they run.
        sharpness: Eigenvalue of the loss's Hessian that is largest in size, on some training rows; NaN
            where it was not taken. Plain descent at rates above 2 over it grows unstable.
    """

    step: int
    rate: float
    train_loss: float
    valid_loss: float
    train_score: float
    valid_score: float
    batch_loss: float
    noise: float
    signal: float
    non_finite: int
    weights: tuple[WeightReading, ...]
    units: tuple[UnitReading, ...]
    sharpness: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Times:
    """Where the seconds of a step go, on average.

    Attributes:
        steps: Steps that were timed.
        data: From the end of a step until the next batch reaches the model.
        forward: The model's.
        backward: Loss and gradients.
        update: The optimizer's.
    """

    steps: int
    data: float
    forward: float
    backward: float
    update: float

    @property
    def whole(self) -> float:
        """Seconds of a step."""
        return self.data + self.forward + self.backward + self.update


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large an input of numbers is where it reaches the network.

    Attributes:
        name: The input's.
        size: Root mean square of all its values.
        apart: Largest deviation of a column (of maps: of a channel) over the smallest above 0.
    """

    name: str
    size: float
    apart: float


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The same training, from the same start over the same batches, at another learning rate.

    Attributes:
        rate: Over that of the training.
        step: Steps it took.
        train_loss: Then, on the training rows of the readings.
        valid_loss: And on the validation rows; NaN without any.
    """

    rate: float
    step: int
    train_loss: float
    valid_loss: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training, watched.

    Attributes:
        techniques: Names of the recipe's.
        optimizer: The name of the one that updates.
        rate: Its learning rate, as the recipe says; NaN without one.
        rows: Training rows.
        batch: Rows of a step.
        total: Steps that were planned.
        status: How it ended, as in the ledger; `running` if it was cut short.
        reason: Why it failed, in a line.
        parameters: Weights that are trained.
        layers: Names of layers that the model has frozen though nothing pretrained them.
        kept: The step whose weights count: the best evaluation's where the recipe stops early.
        constant_loss: Loss of the best constant prediction on the rows of `train_loss`; NaN where it is
            not known (a loss of the user's).
        zero_loss: Loss on them where all outputs are zero: about what fresh weights should have.
        losses: `(step, mean training loss since the one before)`.
        readings: In order of steps, the first before any.
        rivals: Trainings at other rates.
        averaged_loss: As `batch_loss` of the last reading, of the mean of the weights of the last third
            of the steps; NaN where it was not taken.
        scales: Of the inputs.
        times: Where its time went, of a loop of the user's own; not part of `to_dict`, as no clock is.
    """

    techniques: tuple[str, ...]
    optimizer: str
    rows: int
    batch: int
    total: int
    status: str
    reason: str = ""
    parameters: int = 0
    layers: tuple[str, ...] = ()
    kept: int = 0
    constant_loss: float = math.nan
    zero_loss: float = math.nan
    losses: tuple[tuple[int, float], ...] = ()
    readings: tuple[Reading, ...] = ()
    rivals: tuple[Rival, ...] = ()
    averaged_loss: float = math.nan
    rate: float = math.nan
    scales: tuple[Scale, ...] = ()
    times: Times | None = None

    @property
    def first(self) -> Reading:
        """The reading before any step."""
        return self.readings[0]

    @property
    def last(self) -> Reading:
        """The latest reading."""
        return self.readings[-1]

    @property
    def at_kept(self) -> Reading:
        """The reading that is nearest to the weights that count."""
        return min(self.readings, key=lambda each: abs(each.step - self.kept))

    @property
    def whole(self) -> bool:
        """Whether it came to its end."""
        return self.status in ("completed", "stopped")

    @property
    def reference(self) -> float:
        """The loss of a model that has learned nothing: the constant's, else that of the start."""
        return self.constant_loss if math.isfinite(self.constant_loss) else self.first.train_loss

    def explained(self, loss: float) -> float:
        """Returns the share of the reference's loss that is gone; below 0 if a model is worse."""
        if not math.isfinite(loss) or not self.reference > 0:
            return -math.inf
        return 1.0 - loss / self.reference

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-ready values; what is not finite is `None`."""
        told: dict[str, Any] = _finite(dataclasses.asdict(self))
        del told["times"]
        return told


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
