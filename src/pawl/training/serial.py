"""The serial stepper: one member after the other, as plain PyTorch would train it.

The module's parameters are views into the population's weight matrix and the optimizer is the
`torch.optim` class that the update technique names, so this is also what the fused stepper is
checked against.

What does not depend on the weights is not done step by step: keys, rates and averaging are worked out
for all steps, rows are gathered and sent through the front layers (which treat each row alone) for
as many steps as fit a few megabytes. A step is then what a hand-written loop does, with one flat
tensor to update (`benchmarks/loop.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Examples
from pawl.kinds import KINDS
from pawl.models import outputs
from pawl.techniques import Batch
from pawl.training.population import Population
from pawl.training.program import Namespace, select_values
from pawl.training.state import Buffers, Kept
from pawl.training.steps import (
    average,
    averaging_due,
    batch_loss,
    check_buffer,
    extras,
    scaled_targets,
)

_GATHERED_VALUES = 1 << 19


class SerialStepper:
    """Computes one member's steps, then the next's."""

    name = "serial"
    width = 0

    def rebind(self, population: Population) -> None:
        """Nothing is kept between calls."""

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once."""
        return max(64, min(4096, 1_000_000 // values))

    def advance(
        self, population: Population, rows: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> Tensor:
        """Takes one step per batch; returns mean losses `[N]`. See `Stepper`."""
        random = bool(population.program.batch or population.dropouts)
        keys = [population.step_keys(k) for k in range(len(rows[0]))] if random else []
        losses = []
        for i in range(len(population)):
            weighed = weights[i] if weights else None
            losses.append(self._advance_one(population, i, rows[i], weighed, keys))
        return torch.stack(losses)

    @torch.no_grad()
    def _advance_one(
        self,
        population: Population,
        index: int,
        rows: Tensor,
        counts: Tensor | None,
        keys: list[Tensor],
    ) -> Tensor:
        """Takes the steps of one member.

        Args:
            population: Its population.
            index: Its place there.
            rows: The rows of its batches, `[K, B]`.
            counts: How much they count, alike, or `None`.
            keys: `[N]` per step, none if nothing is random.
        """
        problem, program, state = population.problem, population.program, population.state
        body, one = population.body, slice(index, index + 1)
        values = select_values(population.values, one)
        term = program.loss_term(problem.base_loss(), select_values(population.values, index))
        weights = state.weights[index]
        gradient = torch.zeros_like(weights)
        buffers = {k: v[index] for k, v in state.buffers.items()}
        places = _bind(body, population, weights, buffers, gradient)
        for name in population.dropouts:  # the loop itself puts a key there for each step
            del places[f"{name}.key"]
        _bind(population.front, population, None, {k: v[index] for k, v in state.front.items()})
        parameters = dict(body.named_parameters())
        optimizer = self._optimizer(population, index, weights)
        group = optimizer.param_groups[0]
        flat = group["params"][0]
        flat.grad = gradient
        gradient_stage = [
            (call.technique.apply, Namespace(values[call.name])) for call in program.gradient
        ]
        steps = len(rows)
        step = population.step[one] + torch.arange(steps).unsqueeze(1)
        total = population.total[one]
        ahead = step.to(population.device, torch.float32)
        rates = program.rates(values, ahead, total.to(ahead)).flatten().tolist()
        due = averaging_due(step + 1, total).flatten().tolist() if program.average else []
        seed = int(population.seed_key[index]) + int(population.step[index])
        rng.seed_stock(seed, population.device)
        body.train()
        losses = []
        for k, batch in enumerate(_batches(population, index, rows, counts, values, keys)):
            inputs = {name: x[0] for name, x in batch.inputs.items()}
            with torch.enable_grad():
                raw = body(inputs)
                more = {name: tensor[0] for name, tensor in extras(batch).items()}
                loss = batch_loss(
                    problem,
                    term,
                    raw,
                    batch.targets[0],
                    parameters,
                    more,
                    several=population.several,
                )
                gradient.zero_()
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            _keep_reassigned(places, buffers)
            if gradient_stage:
                changed = gradient.unsqueeze(0)
                for apply, settings in gradient_stage:
                    changed = apply(changed, weights.unsqueeze(0), settings)
                flat.grad = changed[0]
            group["lr"] = rates[k]
            optimizer.step()
            if program.average and due[k]:
                average(population, one, ahead[k] + 1.0)
        return torch.stack(losses).mean()

    def _optimizer(
        self, population: Population, index: int, weights: Tensor
    ) -> torch.optim.Optimizer:
        """Returns the reference optimizer over the flat weights, its state views into `slots`.

        Where PyTorch has a kernel that updates a tensor in one pass (`fused`), it is used.
        """
        update = population.program.update
        make = update.technique.reference_optimizer
        assert make is not None
        leaf = nn.Parameter(weights, requires_grad=False)
        optimizer = make([leaf], population.members[index].recipe.settings(update.name))
        fused = "fused" in optimizer.defaults and population.device.type in ("cpu", "cuda")
        if fused:
            optimizer.param_groups[0]["fused"] = True
        slots = population.state.slots
        if slots:
            step = torch.tensor(float(population.step[index]))
            optimizer.state[leaf] = {
                "step": step.to(population.device) if fused else step,
                **{name: slots[name][index] for name in update.technique.slots},
            }
        return optimizer

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: Kept
    ) -> Tensor:
        """Returns outputs, as the loss takes them, for rows `[N, R]` or `[R]`."""
        schema, results = population.problem.schema, []
        population.body.eval()
        for i in range(len(kept.weights)):
            buffers = {k: v[i] for k, v in kept.buffers.items()}
            _bind(population.body, population, kept.weights[i], buffers)
            _bind(population.front, population, None, {k: v[i] for k, v in kept.front.items()})
            chosen = rows if rows.dim() == 1 else rows[i]
            inputs = {name: x[chosen] for name, x in examples.inputs.items()}
            raw = population.body(population.front(inputs))
            results.append(outputs(raw, KINDS[schema.kind], schema.num_outputs))
        return torch.stack(results)


def _batches(
    population: Population,
    index: int,
    rows: Tensor,
    counts: Tensor | None,
    values: dict[str, dict[str, Any]],
    keys: list[Tensor],
) -> Iterator[Batch]:
    """Yields a member's batches of rows `[K, B]`, ready for the model.

    When a batch is yielded, the dropout layers have their keys for its step.
    """
    examples, size, one = population.examples, rows.shape[1], slice(index, index + 1)
    assert examples.targets is not None
    per_step = size * sum(x[:1].numel() for x in examples.inputs.values())
    k = 0
    for chosen in torch.split(rows, max(1, _GATHERED_VALUES // per_step)):
        flat = chosen.flatten()
        inputs = population.front({name: x[flat] for name, x in examples.inputs.items()})
        pieces = {name: torch.split(x.unsqueeze(0), size, dim=1) for name, x in inputs.items()}
        targets_of = examples.targets[flat].unsqueeze(0)
        mean, std = population.target_mean[one], population.target_std[one]
        scaled = torch.split(scaled_targets(targets_of, mean, std), size, dim=1)
        for i, targets in enumerate(scaled):
            batch = Batch({name: piece[i] for name, piece in pieces.items()}, targets)
            if counts is not None:
                batch = replace(batch, weights=counts[k].unsqueeze(0))
            if keys:
                _set_dropout_keys(population, index, keys[k])
                batch = population.program.transform(batch, values, keys[k][one])
            yield batch
            k += 1


def _set_dropout_keys(population: Population, index: int, key: Tensor) -> None:
    """Gives a member's dropout layers their keys for a step; `key` is `[N]`."""
    if population.dropouts:
        population.set_dropout_keys(key)
    for name in population.dropouts:
        layer = population.body.get_submodule(name)
        layer.key = population.state.buffers[f"{name}.key"][index]


def _bind(
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
