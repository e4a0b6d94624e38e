"""One member's state bound to the population's module, for forward and backward passes by themselves."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.models import with_channels_last
from pawl.techniques import Batch
from pawl.training.population import Population
from pawl.training.program import select_values
from pawl.training.state import Buffers
from pawl.training.steps import batch_loss, check_buffer, rows_apart


class BoundMember:
    """A member whose weights and buffers the module's parameters and buffers are views of.

    Args:
        population: The member's.
        index: Its place there.
        channels_last: Whether the body gets images with the channels of a pixel side by side.

    Attributes:
        weights: `[P]`, a view into the population's matrix.
        gradient: `[P]`, of the last backward pass.
    """

    def __init__(self, population: Population, index: int, *, channels_last: bool = False) -> None:
        state = population.state
        self._channels_last = channels_last
        self.population, self.index = population, index
        self.weights = state.weights[index]
        self.gradient = torch.zeros_like(self.weights)
        self._buffers = {k: v[index] for k, v in state.buffers.items()}
        body = population.body
        self._places = bind(body, population, self.weights, self._buffers, self.gradient)
        for name in population.drawing:  # the loop itself puts a key there for each step
            del self._places[f"{name}.key"]
        front = {k: v[index] for k, v in state.front.items()}
        bind(population.front, population, None, front)
        self._parameters = dict(body.named_parameters())
        problem = population.problem
        values = select_values(population.values, index)
        self._term = population.program.loss_term(problem.base_loss(), values)

    def backward(self, batch: Batch) -> Tensor:
        """Leaves the gradients of a batch `[1, B, ...]` in `gradient`; returns its loss."""
        self.gradient.zero_()
        if (pieces := self.population.fits[self.index].pieces) == 1:
            return self._add(batch)
        loss = torch.zeros_like(self.gradient[0])
        with self._drawing_keys() as keys:
            for number, (share, part) in enumerate(batch.parts(pieces)):
                for layer, key in keys:
                    layer.key = rng.fold(key, number)
                loss += share * self._add(part, share)
        return loss

    @contextlib.contextmanager
    def _drawing_keys(self) -> Iterator[list[tuple[Any, Tensor]]]:
        """Gives the layers that draw, with their keys, which are put back behind."""
        layers: list[Any] = [self.population.body.get_submodule(n) for n in self.population.drawing]
        keys = [(layer, layer.key.clone()) for layer in layers]
        yield keys
        for layer, key in keys:
            layer.key = key

    def _add(self, batch: Batch, share: float = 1.0) -> Tensor:
        """Adds a share of the gradients of a batch to `gradient`; returns its loss."""
        population = self.population
        inputs = {name: x[0] for name, x in batch.inputs.items()}
        targets = batch.targets.map(operator.itemgetter(0))
        with torch.enable_grad():
            raw = population.body(with_channels_last(inputs) if self._channels_last else inputs)
            loss = batch_loss(
                population.problem, self._term, raw, targets, self._parameters,
                several=population.several,
            )  # fmt: skip
            (loss if share == 1.0 else share * loss).backward()  # type: ignore[no-untyped-call]
        _keep_reassigned(self._places, self._buffers)
        return loss.detach()

    def gradients_at(self, batch: Batch, weights: Tensor) -> Tensor:
        """Returns the gradients of a batch at other weights, `[1, P]`; nothing else changes."""
        mine, gradient = self.weights.clone(), self.gradient.clone()
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        self.weights.copy_(weights[0])
        self.backward(batch)
        found = self.gradient.clone()
        self.weights.copy_(mine)
        self.gradient.copy_(gradient)
        for name, buffer in buffers.items():
            self._buffers[name].copy_(buffer)
        return found.unsqueeze(0)

    def gradients_by_row(self, batch: Batch) -> Tensor:
        """Returns the gradients of each row of a batch, `[1, B, P]`."""
        apart = rows_apart(batch.targets)
        each = []
        with self._drawing_keys() as keys:
            for row in range(len(apart.values)):
                one = slice(row, row + 1)
                for layer, key in keys:
                    layer.key = rng.fold(key, row)
                inputs = {name: x[:, one] for name, x in batch.inputs.items()}
                alone = Batch(inputs, apart.map(operator.itemgetter(one)))
                each.append(self.gradients_at(alone, self.weights.clone().unsqueeze(0))[0])
        return torch.stack(each).unsqueeze(0)


def set_layer_keys(population: Population, index: int, key: Tensor) -> None:
    """Gives a member's layers that draw their keys for a step; `key` is `[N]`."""
    if population.drawing:
        population.set_layer_keys(key)
    for name in population.drawing:
        layer = population.body.get_submodule(name)
        layer.key = population.state.buffers[f"{name}.key"][index]


def bind(
    module: nn.Module,
    population: Population,
    weights: Tensor | None,
    buffers: Buffers,
    gradient: Tensor | None = None,
) -> dict[str, tuple[dict[str, Tensor | None], str]]:
    """Makes a module's parameters and buffers views of one member's state.

    Returns:
        Where each buffer is kept: its module's buffers, and its name there.
    """
    if weights is not None:
        grads = population.layout.views(gradient) if gradient is not None else {}
        views = population.layout.views(weights)
        for name, parameter in module.named_parameters():
            parameter.data = views[name]
            parameter.grad = grads.get(name)
    places = {}
    for name, buffer in buffers.items():
        parent, _, attribute = name.rpartition(".")
        own = module.get_submodule(parent)._buffers
        own[attribute] = buffer
        places[name] = own, attribute
    return places


def _keep_reassigned(
    places: dict[str, tuple[dict[str, Tensor | None], str]], buffers: Buffers
) -> None:
    """Writes what a forward put in the place of a buffer into the member's state."""
    for name, (own, attribute) in places.items():
        bound, now = buffers[name], own[attribute]
        if now is not bound:
            bound.copy_(check_buffer(name, bound, now))
            own[attribute] = bound
