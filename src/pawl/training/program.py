"""The call lists of a trial: what each stage runs, built once before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from pawl import rng
from pawl.models import Layout
from pawl.recipe import Recipe
from pawl.techniques import (
    AverageTechnique,
    Batch,
    BatchTechnique,
    GradientContext,
    GradientTechnique,
    LossTechnique,
    LossTerm,
    ScheduleTechnique,
    StepContext,
    StopTechnique,
    Technique,
    UpdateTechnique,
    WeightsTechnique,
)

T = TypeVar("T", bound=Technique)

Values = Mapping[str, Any]
"""A technique's settings by name: tensors `[N]` where memberwise, plain values elsewhere."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One technique in a call list, with a salt that sets its random numbers apart."""

    technique: T
    salt: int

    @property
    def name(self) -> str:
        """The technique's name."""
        return self.technique.name


def _calls(recipe: Recipe, record: type[T]) -> tuple[Call[T], ...]:
    return tuple(Call(t, rng.derive_seed("salt", t.name)) for t, _ in recipe.of_stage(record))


@dataclass(frozen=True)
class Program:
    """The call lists of one structure; an unused stage is an empty tuple and costs nothing."""

    batch: tuple[Call[BatchTechnique], ...]
    loss: tuple[Call[LossTechnique], ...]
    gradient: tuple[Call[GradientTechnique], ...]
    schedule: tuple[Call[ScheduleTechnique], ...]
    update: Call[UpdateTechnique]
    weights: tuple[Call[WeightsTechnique], ...]
    average: tuple[Call[AverageTechnique], ...]
    stop: tuple[Call[StopTechnique], ...]

    @classmethod
    def of(cls, recipe: Recipe) -> Program:
        """Returns the program that all recipes of this structure share."""
        return cls(
            batch=_calls(recipe, BatchTechnique),
            loss=_calls(recipe, LossTechnique),
            gradient=_calls(recipe, GradientTechnique),
            schedule=_calls(recipe, ScheduleTechnique),
            update=_calls(recipe, UpdateTechnique)[0],
            weights=_calls(recipe, WeightsTechnique),
            average=_calls(recipe, AverageTechnique),
            stop=_calls(recipe, StopTechnique),
        )

    @property
    def acts_on_raw(self) -> bool:
        """Whether something changes batches before the front layers."""
        return any(call.technique.raw for call in self.batch)

    @property
    def alone(self) -> bool:
        """Whether members take steps one after the other, since shapes of their batches differ."""
        return any(call.technique.alone for call in self.batch)

    @property
    def keeps_before(self) -> bool:
        """Whether something asks for the weights before the optimizer's step."""
        return any(call.technique.before for call in self.weights)

    def in_steps(self) -> tuple[Call[Any], ...]:
        """All calls that need settings while training."""
        return (
            *self.batch, *self.loss, *self.gradient, *self.schedule, self.update, *self.weights,
            *self.average, *self.stop,
        )  # fmt: skip

    def rates(self, values: Mapping[str, Values], step: Tensor, total: Tensor) -> Tensor:
        """Returns learning rates for steps `[..., N]` (taken before) of `total` `[N]`."""
        rate: Tensor = values[self.update.name]["learning_rate"].expand(step.shape)
        for call in self.schedule:
            rate = rate * call.technique.apply(step, total, Namespace(values[call.name]))
        return rate

    def coefficients(
        self, values: Mapping[str, Values], rate: Tensor, step: Tensor
    ) -> dict[str, Tensor]:
        """Returns what the update computes ahead for steps `[K, N]` (this one included)."""
        compute = self.update.technique.coefficients
        return compute(rate, step, Namespace(values[self.update.name])) if compute else {}

    def transform(
        self, batch: Batch, values: Mapping[str, Values], key: Tensor, *, raw: bool
    ) -> Batch:
        """Runs the part of the batch stage before the front layers (`raw`) or behind them.

        Args:
            batch: The population's.
            values: Settings.
            key: `[N]`.
            raw: Which part.
        """
        for call in self.batch:
            if call.technique.raw == raw:
                settings = Namespace(values[call.name])
                batch = call.technique.apply(batch, settings, rng.fold(key, call.salt))
        return batch

    def change(
        self,
        gradients: Tensor,
        weights: Tensor,
        values: Mapping[str, Values],
        context: GradientContext,
    ) -> Tensor:
        """Runs the gradient stage; gradients and weights are `[N, P]`."""
        for call in self.gradient:
            own = replace(context, salt=call.salt)
            gradients = call.technique.apply(gradients, weights, own, Namespace(values[call.name]))
        return gradients

    def init(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        """Returns the state of fresh members' update and weights stages, given weights `[N, P]`."""
        state = dict(self.update.technique.init(weights, layout))
        for call in self.weights:
            own = call.technique.init(weights, layout)
            state |= {f"{call.name}.{name}": tensor for name, tensor in own.items()}
        return state

    def amend(
        self,
        weights: Tensor,
        state: dict[str, Tensor],
        values: Mapping[str, Values],
        context: StepContext,
    ) -> None:
        """Runs the weights stage in place; weights are `[N, P]`, `state` is all of `init`'s."""
        for call in self.weights:
            lead = f"{call.name}."
            own = {n.removeprefix(lead): x for n, x in state.items() if n.startswith(lead)}
            call.technique.apply(weights, own, context, Namespace(values[call.name]))

    def loss_term(self, base: LossTerm, values: Mapping[str, Values]) -> LossTerm:
        """Returns the loss of one member whose settings are these (scalars)."""
        for call in self.loss:
            base = call.technique.apply(base, Namespace(values[call.name]))
        return base


class Namespace:
    """Settings as attributes (a class of our own because `torch.compile` cannot trace the stock one)."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name == "_values" or name not in self._values:  # the former where it is being unpickled
            raise AttributeError(f"there is no setting {name!r}")
        return self._values[name]


def stack_values(
    program: Program, recipes: Sequence[Recipe], device: torch.device
) -> dict[str, dict[str, Any]]:
    """Returns each technique's settings over the members: tensors `[N]` where memberwise."""
    stacked: dict[str, dict[str, Any]] = {}
    for call in program.in_steps():
        each = [recipe.settings(call.name) for recipe in recipes]
        stacked[call.name] = {
            key: torch.tensor([float(getattr(s, key)) for s in each], device=device)
            if key in call.technique.memberwise
            else getattr(each[0], key)
            for key in type(each[0]).model_fields
        }
    return stacked


def select_values(values: Mapping[str, Values], index: int | slice) -> dict[str, dict[str, Any]]:
    """Returns the settings of one member: scalars for an index, `[1]` for a slice of one."""
    return {
        name: {k: v[index] if isinstance(v, Tensor) else v for k, v in settings.items()}
        for name, settings in values.items()
    }
