"""What the instruments saw of a training: readings by layer and over time.

Losses are the task's own, of the model as it is evaluated, on rows that are the same at each reading.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

ONE_SIDED = 1.645
"""Standard errors of a one-sided 95% bound; the means here are of enough rows for a normal one."""
_LATE = 0.75


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
        distance: Norm of the change since the start over the norm at the start; NaN where a loop of the
            user's own has put the tensor in the place of another since.
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
        valid_error: Standard error of `valid_loss` over the rows; NaN where it is not known.
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
    valid_error: float = math.nan

    @property
    def valid_floor(self) -> float:
        """The validation loss that is still likely for more rows: a one-sided 95% bound below."""
        known = math.isfinite(self.valid_error)
        return self.valid_loss - ONE_SIDED * self.valid_error if known else self.valid_loss


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
class Gain:
    """How much less is lost of the same rows with one thing changed.

    Attributes:
        mean: Of the rows' losses before minus those after.
        error: Its standard error over the rows, as pairs; NaN where losses of rows are not known.
        rows: How many.
    """

    mean: float
    error: float
    rows: int

    def least(self, errors: float = ONE_SIDED) -> float:
        """Returns a bound so many errors below, by default of 95%; -inf where it is not known."""
        bound = self.mean - errors * self.error
        return bound if math.isfinite(bound) else -math.inf


Change = Literal["batch", "width", "passes"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The same training, of the same seed, with one thing changed that was suspected.

    Attributes:
        change: Rows of a step, width of the layers, or length.
        value: The rows; or the factor of width or length.
        step: Steps it took.
        train_loss: Of the weights that count, on the training rows of the readings.
        valid_loss: And on the validation rows.
        gain: On the validation rows, over the training's weights that count.
        train_gain: And on the training rows.
    """

    change: Change
    value: float
    step: int
    train_loss: float
    valid_loss: float
    gain: Gain
    train_gain: Gain


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Batch normalization at the end of a training.

    Attributes:
        values: That a step normalizes by, of the layer that has the fewest: rows times places.
        behind: How far what a layer keeps for evaluation is from what it sees, over how far that was at
            the start: 1 if nothing was gathered. Of the layer that lags most.
        gain: With statistics taken anew of training rows, all weights as they are; on training and
            validation rows.
    """

    values: int
    behind: float
    gain: Gain


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
        trials: Trainings with what was suspected changed.
        statistics: Of batch normalization; `None` without such layers.
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
    trials: tuple[Trial, ...] = ()
    statistics: Statistics | None = None
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

    def late_share(self, name: str) -> float:
        """Returns what share of a loss's fall comes in the last quarter of the steps."""
        last = self.last
        late = min(self.readings, key=lambda each: abs(each.step - _LATE * last.step))
        if not 0 < late.step < last.step:
            return 0.0
        start, then, now = (float(getattr(each, name)) for each in (self.first, late, last))
        # As if the reading lay where the last quarter begins.
        quarter = (then - now) * (1.0 - _LATE) / (1.0 - late.step / last.step)
        whole = start - now
        return quarter / whole if whole > 0 and math.isfinite(quarter / whole) else 0.0

    def trial(self, change: Change) -> Trial | None:
        """Returns the trial of a change, of several the one that most surely gained; `None` without."""
        found = [each for each in self.trials if each.change == change]
        return max(found, key=lambda each: each.gain.least(), default=None)

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
