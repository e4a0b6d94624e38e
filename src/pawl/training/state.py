"""What changes in a population while it trains, and what an evaluation needs of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Inputs

Buffers = dict[str, Tensor]
KNOWN = "known."
"""In front of the names of inputs that a batch brings along; see `Split.known`."""
_LAYER_SALT = 1000


@dataclass
class State:
    """What changes while training; every tensor has the member axis first.

    `pace` is what learning rates are multiplied by beside the schedule, `[N]`; see
    `ScheduleTechnique.watched`.
    """

    weights: Tensor
    slots: dict[str, Tensor]
    buffers: Buffers
    average: Tensor | None
    average_buffers: Buffers
    front: Buffers
    pace: Tensor

    @classmethod
    def of(
        cls,
        models: Sequence[tuple[nn.Module, nn.Module]],
        init: Callable[[Tensor], dict[str, Tensor]],
        shared: Collection[str],
        *,
        averaged: bool,
    ) -> State:
        """Returns the state of members that begin.

        Args:
            models: Front and body of each.
            init: Makes an optimizer's slots for weights, `[N, P]`.
            shared: Names of buffers that are no member's own.
            averaged: Whether an average of the weights goes along.
        """
        with torch.no_grad():
            weights = torch.stack(
                [torch.cat([p.detach().flatten() for p in body.parameters()]) for _, body in models]
            )
        buffers = stacked(
            [{k: v for k, v in body.named_buffers() if k not in shared} for _, body in models]
        )
        return cls(
            weights,
            init(weights),
            buffers,
            weights.clone() if averaged else None,
            {k: v.clone() for k, v in buffers.items()} if averaged else {},
            stacked([dict(front.named_buffers()) for front, _ in models]),
            torch.ones(len(models), device=weights.device),
        )

    def take(self, index: Tensor) -> State:
        """Returns the state of these members (`[N']` int64), copied."""
        return State(
            self.weights[index],
            {k: v[index] for k, v in self.slots.items()},
            {k: v[index] for k, v in self.buffers.items()},
            None if self.average is None else self.average[index],
            {k: v[index] for k, v in self.average_buffers.items()},
            {k: v[index] for k, v in self.front.items()},
            self.pace[index],
        )

    def overwrite(self, member: int, module: nn.Module, names: Collection[str]) -> None:
        """Gives a member a module's buffers of these names, averaged or not."""
        for name, buffer in module.named_buffers():
            for own in (self.buffers, self.average_buffers):
                if name in names and name in own:
                    own[name][member] = buffer

    def join(self, other: State) -> State:
        """Returns both states, this one's members first."""

        def cat(mine: Buffers, theirs: Buffers) -> Buffers:
            return {k: torch.cat([v, theirs[k]]) for k, v in mine.items()}

        average = None
        if self.average is not None and other.average is not None:
            average = torch.cat([self.average, other.average])
        return State(
            torch.cat([self.weights, other.weights]),
            cat(self.slots, other.slots),
            cat(self.buffers, other.buffers),
            average,
            cat(self.average_buffers, other.average_buffers),
            cat(self.front, other.front),
            torch.cat([self.pace, other.pace]),
        )


@dataclass(frozen=True)
class EvaluationState:
    """What an evaluation needs of some members; every tensor has the member axis first."""

    weights: Tensor
    buffers: Buffers
    front: Buffers


def stacked(each: Sequence[Buffers]) -> Buffers:
    """Returns the buffers of several modules with the member axis first."""
    names = list(itertools.chain(each[0]))
    return {name: torch.stack([buffers[name].detach() for buffers in each]) for name in names}


def layer_keys(names: Sequence[str], key: Tensor) -> Buffers:
    """Returns the key buffers of layers that draw for a step whose keys are `[N]`."""
    return {f"{name}.key": rng.fold(key, _LAYER_SALT + index) for index, name in enumerate(names)}


def known_inputs(batch: Buffers) -> Inputs:
    """Returns the inputs that a batch brings along, by their names."""
    return {name.removeprefix(KNOWN): x for name, x in batch.items() if name.startswith(KNOWN)}
