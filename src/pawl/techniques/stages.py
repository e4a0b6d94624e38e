"""The stages of a trial: for each the signature of its techniques' functions, and their record.

`N` members, `B` rows of a batch, `P` weights of a model, `K` steps, `R` rows, `O` outputs, `S` the shape
of a row's target.

Settings reach a function as attributes. Those named in `memberwise` may differ between the members of
one population and arrive as float32 tensors `[N]` (as scalars in the loss stage, which sees one member
at a time); all others are structural and arrive as plain values. That is why their type is `Any`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs, ModelSpec
from pawl.models.layout import Layout
from pawl.techniques.record import Phase, Stage, Technique
from pawl.techniques.values import Batch, FitRows, GradientContext, Split, StepContext, Targets

Beat = Callable[[], None]
AVERAGE_INTERVAL = 4
"""Steps between two calls of the average stage."""


class DataFunction(Protocol):
    """Changes what trains, once, fitted on the training rows."""

    def __call__(self, split: Split, settings: Any, /) -> Split:
        """Returns the split that trains."""


class ModelFunction(Protocol):
    """Changes a freshly built module, once; it may change it in place."""

    def __call__(self, module: nn.Module, settings: Any, sample: Inputs, /) -> nn.Module:
        """Returns the module to train; `sample` has training rows as the module gets them."""


class BatchFunction(Protocol):
    """Changes every batch of a whole population, at random by a key of its own."""

    def __call__(self, batch: Batch, settings: Any, key: Tensor, /) -> Batch:
        """Returns the batch; `key` is `[N]`."""


class LossTerm(Protocol):
    """The loss of one member's batch."""

    def __call__(self, outputs: Any, targets: Targets, weights: Mapping[str, Tensor], /) -> Tensor:
        """Returns each row's loss, `[B]`, whose mean is the batch's.

        A loss of the user's own may return one number for the batch instead, `[]`.

        Args:
            outputs: As `pawl.kinds` has them, `[B, *S, O]` or `[B, *S]`; what the model returned if the
                loss is the user's own.
            targets: `partner` and `weights` are not its business: it is called for partners as well.
            weights: The model's, by name.
        """


class LossFunction(Protocol):
    """Makes a loss of a loss."""

    def __call__(self, loss: LossTerm, settings: Any, /) -> LossTerm:
        """Returns the loss that is trained."""


class GradientFunction(Protocol):
    """Changes the gradients of a whole population."""

    def __call__(
        self, gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any, /
    ) -> Tensor:
        """Returns gradients `[N, P]`."""


class ScheduleFunction(Protocol):
    """Says what the learning rate is multiplied by at a step."""

    def __call__(self, step: Tensor, total: Tensor, settings: Any, /) -> Tensor:
        """Returns `[..., N]` for steps taken before, `[..., N]`, of `total` `[N]`."""


class WatchedFunction(Protocol):
    """Says what the learning rate is multiplied by for what evaluations have shown so far."""

    def __call__(self, scores: Sequence[float], settings: Any, /) -> float:
        """Returns it for one member, by its validation scores, larger is better, and plain settings."""


class EndsFunction(Protocol):
    """Says when training is over."""

    def __call__(self, settings: Any, /) -> float:
        """Returns after which share of the steps, above 0 and at most 1, by plain settings."""


class ChangingFunction(Protocol):
    """Says what a setting of another technique is while a member trains."""

    def __call__(
        self, t: Technique, key: str, value: float, share: float, settings: Any, /
    ) -> float:
        """Returns the value at a share of the trial, given the recipe's."""


class InitFunction(Protocol):
    """Makes an optimizer's state for fresh members."""

    def __call__(self, weights: Tensor, layout: Layout, /) -> dict[str, Tensor]:
        """Returns tensors `[N, ...]` by name, given weights `[N, P]`."""


class UpdateFunction(Protocol):
    """Takes the step of a whole population, in place."""

    def __call__(
        self,
        weights: Tensor,
        gradients: Tensor,
        state: dict[str, Tensor],
        context: StepContext,
        settings: Any,
        /,
    ) -> None:
        """Changes weights `[N, P]` and state; settings have the coefficients as well, `[N]`."""


class CoefficientsFunction(Protocol):
    """Computes what depends on rate, step and settings alone, for many steps at once."""

    def __call__(self, rate: Tensor, step: Tensor, settings: Any, /) -> dict[str, Tensor]:
        """Returns tensors `[K, N]` by name, given `[K, N]`; the step of each row is included."""


class OptimizerFunction(Protocol):
    """Makes the optimizer of `torch.optim` that does the same for one model."""

    def __call__(self, weights: list[Tensor], settings: Any, /) -> torch.optim.Optimizer:
        """Returns it; settings are plain numbers."""


class WeightsFunction(Protocol):
    """Changes the weights of a whole population behind the optimizer's step, in place."""

    def __call__(
        self, weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any, /
    ) -> None:
        """Changes weights `[N, P]` and its own state."""


class AverageFunction(Protocol):
    """Moves the averaged weights, which take part in evaluations; buffers are averaged alike."""

    def __call__(
        self, average: Tensor, weights: Tensor, step: Tensor, total: Tensor, settings: Any, /
    ) -> Tensor:
        """Returns the average `[N, P]`; `step` (taken) and `total` are `[N]` float32."""


class StopFunction(Protocol):
    """Says who stops."""

    def __call__(self, stale: Tensor, evaluations: Tensor, settings: Any, /) -> Tensor:
        """Returns `[N]` bool, given evaluations since the best one and so far, `[N]` float32."""


class ModuleFunction(Protocol):
    """Makes the module that a learner fits."""

    def __call__(self, spec: ModelSpec, settings: Any, /) -> nn.Module:
        """Returns it before it is fitted: `Inputs` to raw outputs, as a model.

        What is learned goes into buffers; their shapes may change, their names may not.
        """


class FitFunction(Protocol):
    """Fits a module to rows in one go."""

    def __call__(
        self, module: nn.Module, rows: FitRows, settings: Any, seed: int, beat: Beat, /
    ) -> None:
        """Changes the module, in place, in one thread; the same seed gives the same.

        Args:
            module: As `ModuleFunction` returned it.
            rows: What is learned from.
            settings: The technique's.
            seed: Decides what is random.
            beat: Called every now and then; what it raises ends the fit.
        """


def no_state(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Returns the state of an optimizer that has none."""
    del weights, layout
    return {}


def zeros(*names: str) -> InitFunction:
    """Returns what makes state tensors `[N, P]` of zeros by these names."""
    return functools.partial(_zeros, names)


def _zeros(names: tuple[str, ...], weights: Tensor, layout: Layout, /) -> dict[str, Tensor]:
    del layout
    return {name: torch.zeros_like(weights) for name in names}


@dataclass(frozen=True, kw_only=True)
class DataTechnique(Technique):
    """Acts on rows, once.

    Attributes:
        draws: Whether what it does depends on the member's seed (`Split.key`), not on its rows alone.
        in_loss: Whether it acts by the loss alone (soft labels, offsets), which what fits in one go does
            not have.
    """

    stage: ClassVar[Stage] = Stage.DATA
    apply: DataFunction
    phase: Phase = Phase.FITTED
    draws: bool = False
    in_loss: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelTechnique(Technique):
    """Acts on the module, once.

    Attributes:
        unlearned: Whether it wants the module without the weights that it would start from.
    """

    stage: ClassVar[Stage] = Stage.MODEL
    apply: ModelFunction
    unlearned: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchTechnique(Technique):
    """Acts on every batch.

    Attributes:
        raw: Whether it gets inputs as they were read, before scaling and other front layers (colors).
        alone: Whether shapes follow how far a member is, so that members take steps one after the other.
    """

    stage: ClassVar[Stage] = Stage.BATCH
    apply: BatchFunction
    raw: bool = False
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class LossTechnique(Technique):
    """Acts on the loss."""

    stage: ClassVar[Stage] = Stage.LOSS
    apply: LossFunction


@dataclass(frozen=True, kw_only=True)
class GradientTechnique(Technique):
    """Acts on the gradients."""

    stage: ClassVar[Stage] = Stage.GRADIENT
    apply: GradientFunction


@dataclass(frozen=True, kw_only=True)
class ScheduleTechnique(Technique):
    """Acts on the learning rate.

    Attributes:
        watched: What the rate is multiplied by besides, for what validation scores say; `None` if it
            goes by the step alone.
        ends: After which share of the steps that it spans training is over, by the settings; `None`
            for all.
    """

    stage: ClassVar[Stage] = Stage.SCHEDULE
    apply: ScheduleFunction
    watched: WatchedFunction | None = None
    ends: EndsFunction | None = None
    group: str | None = "schedule"


@dataclass(frozen=True, kw_only=True)
class ChangingTechnique(Technique):
    """Acts on the settings of other techniques; its own say when (`changes`)."""

    stage: ClassVar[Stage] = Stage.SCHEDULE
    apply: ChangingFunction


@dataclass(frozen=True, kw_only=True)
class UpdateTechnique(Technique):
    """An optimizer.

    Attributes:
        init: Makes its state.
        coefficients: What it can compute ahead, `None` if nothing: inside a compiled step, a power
            would be taken again for every few weights.
        optimizer: The `torch.optim` class that does the same for one model; its state has the names of
            `init`. Tests hold the function against it, and members that train one by one use it.
            `None` if there is none.
        evaluated: Which tensor of its state has the weights that evaluations use, `[N, P]`, where these
            are not those that train; nothing else may then average or change weights.
    """

    stage: ClassVar[Stage] = Stage.UPDATE
    apply: UpdateFunction
    group: str | None = "optimizer"
    init: InitFunction = no_state
    coefficients: CoefficientsFunction | None = None
    optimizer: OptimizerFunction | None = None
    evaluated: str | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsTechnique(Technique):
    """Acts on the weights behind each step of the optimizer.

    Attributes:
        init: Makes its state.
        before: Whether it is told the weights before the optimizer's step (`StepContext.before`).
    """

    stage: ClassVar[Stage] = Stage.WEIGHTS
    apply: WeightsFunction
    init: InitFunction = no_state
    before: bool = False


@dataclass(frozen=True, kw_only=True)
class AverageTechnique(Technique):
    """Averages weights."""

    stage: ClassVar[Stage] = Stage.AVERAGE
    apply: AverageFunction
    group: str | None = "averaging"


@dataclass(frozen=True, kw_only=True)
class StopTechnique(Technique):
    """Ends a training."""

    stage: ClassVar[Stage] = Stage.STOP
    apply: StopFunction


@dataclass(frozen=True, kw_only=True)
class FitTechnique(Technique):
    """A learner: fits in one go, in place of an optimizer's steps.

    A training of it counts as many passes over its rows as any other of its campaign, however often it
    looks at them, so that times per row can be compared.

    Attributes:
        module: Makes what it fits.
        stops: Whether it looks at rows to stop by.
        refit: Fits a fitted module anew, for as long as was found to be best, with the rows to stop by
            among those that train; `None` if it cannot. Called where it is judged on other rows still.
        imports: Modules that are slow to import and that it imports itself: a process that forks workers
            to fit does so first, or each of them would.
    """

    stage: ClassVar[Stage] = Stage.FIT
    apply: FitFunction
    module: ModuleFunction
    stops: bool = False
    refit: FitFunction | None = None
    imports: tuple[str, ...] = ()
    group: str | None = "optimizer"
    searched: bool = False
