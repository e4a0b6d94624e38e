"""The serial stepper: one member after the other, as plain PyTorch would train it.

The module's parameters are views into the population's weight matrix. Where PyTorch has the optimizer it
is that of `torch.optim`, so this is also what the fused stepper is checked against.

What does not depend on the weights is not done step by step: keys, rates and averaging are worked out
for all steps, rows are gathered and sent through the front layers (which treat each row alone) for
as many steps as fit a few megabytes. A step is then what a hand-written loop does, with one flat
tensor to update (`benchmarks/loop.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Examples
from pawl.kinds import KINDS
from pawl.models import outputs
from pawl.techniques import Batch, GradientContext, StepContext, Targets
from pawl.training.bound import BoundMember, bind, set_layer_keys
from pawl.training.population import Population
from pawl.training.program import Namespace, select_values
from pawl.training.state import Buffers, EvaluationState, known_inputs
from pawl.training.steps import average, averaging_due, progress, scaled_targets

_GATHERED_VALUES = 1 << 19


class SerialStepper:
    """Computes one member's steps, then the next's.

    Args:
        channels_last: Whether the body trains on images with the channels of a pixel side by side, which
            most processors convolve faster; numbers are the same but for rounding.
    """

    name = "serial"
    width = 0

    def __init__(self, *, channels_last: bool = False) -> None:
        self._channels_last = channels_last

    def rebind(self, population: Population) -> None:
        """Nothing is kept between calls."""

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once."""
        return max(64, min(4096, 1_000_000 // values))

    def advance(self, population: Population, batches: Sequence[Buffers]) -> Tensor:
        """Takes one step per batch; returns mean losses `[N]`. See `Stepper`."""
        keys = population.step_keys(len(batches[0]["rows"]))
        losses = [self._advance_one(population, i, own, keys) for i, own in enumerate(batches)]
        return torch.stack(losses)

    @torch.no_grad()
    def _advance_one(
        self, population: Population, index: int, own: Buffers, keys: Tensor
    ) -> Tensor:
        """Takes the steps of one member.

        Args:
            population: Its population.
            index: Its place there.
            own: What the steppers get of its batches; see `Stepper`.
            keys: `[K, N]`.
        """
        program = population.program
        one = slice(index, index + 1)
        values = select_values(population.values, one)
        bound = BoundMember(population, index, channels_last=self._channels_last)
        steps = len(own["rows"])
        step = population.step[one] + torch.arange(steps).unsqueeze(1)
        total = population.total[one]
        ahead = step.to(population.device, torch.float32)
        context = StepContext(
            program.rates(values, ahead, total.to(ahead)) * population.state.pace[one],
            ahead + 1.0, total.to(ahead), population.layout,
        )  # fmt: skip
        update = self._update(population, index, bound, values, context)
        slots = {name: slot[one] for name, slot in population.state.slots.items()}
        due = averaging_due(step + 1, total).flatten().tolist() if program.average else []
        seed = int(population.seed_key[index]) + int(population.step[index])
        rng.seed_stock(seed, population.device)
        population.body.train()
        losses = []
        for k, batch in enumerate(batches_of(population, index, own, values, context, keys)):
            losses.append(bound.backward(batch))
            changed = bound.gradient
            if program.gradient:
                now = GradientContext(
                    context.rate[k], context.step[k], context.total, context.layout, keys[k][one],
                    0, partial(bound.gradients_at, batch), partial(bound.gradients_by_row, batch),
                )  # fmt: skip
                gradients, weights = changed.unsqueeze(0), bound.weights.unsqueeze(0)
                changed = program.change(gradients, weights, values, now)[0]
            before = bound.weights.clone().unsqueeze(0) if program.keeps_before else None
            update(changed, k)
            if program.weights:
                after = replace(context, rate=context.rate[k], step=context.step[k], before=before)
                program.amend(bound.weights.unsqueeze(0), slots, values, after)
            if program.average and due[k]:
                average(population, one, context.step[k])
        return torch.stack(losses).mean()

    def _update(
        self,
        population: Population,
        index: int,
        bound: BoundMember,
        values: dict[str, dict[str, Any]],
        context: StepContext,
    ) -> Callable[[Tensor, int], None]:
        """Returns what changes a member's weights, given gradients `[P]` and the number of the step."""
        program, technique = population.program, population.program.update.technique
        if technique.optimizer is None:
            one, weights = slice(index, index + 1), bound.weights.unsqueeze(0)
            slots = {name: slot[one] for name, slot in population.state.slots.items()}
            own = values[technique.name]
            ahead = program.coefficients(values, context.rate, context.step)

            def apply(gradient: Tensor, k: int) -> None:
                named = Namespace({**own, **{name: x[k] for name, x in ahead.items()}})
                now = replace(context, rate=context.rate[k], step=context.step[k])
                technique.apply(weights, gradient.unsqueeze(0), slots, now, named)

            return apply
        optimizer = self._optimizer(population, index, bound.weights)
        group = optimizer.param_groups[0]
        flat, rates = group["params"][0], context.rate.flatten().tolist()

        def step(gradient: Tensor, k: int) -> None:
            flat.grad, group["lr"] = gradient, rates[k]
            optimizer.step()

        return step

    def _optimizer(
        self, population: Population, index: int, weights: Tensor
    ) -> torch.optim.Optimizer:
        """Returns PyTorch's optimizer over the flat weights, its state views into `slots`.

        Where PyTorch has a kernel that updates a tensor in one pass (`fused`), it is used.
        """
        update = population.program.update
        make = update.technique.optimizer
        assert make is not None
        leaf = nn.Parameter(weights, requires_grad=False)
        optimizer = make([leaf], population.recipes[index].settings(update.name))
        fused = "fused" in optimizer.defaults and population.device.type in ("cpu", "cuda")
        if fused:
            optimizer.param_groups[0]["fused"] = True
        slots = {n: x for n, x in population.state.slots.items() if "." not in n}
        if slots:
            step = torch.tensor(float(population.step[index]))
            optimizer.state[leaf] = {
                "step": step.to(population.device) if fused else step,
                **{name: slots[name][index] for name in slots},
            }
        return optimizer

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: EvaluationState
    ) -> Tensor:
        """Returns outputs, as the loss takes them, for rows `[N, R]` or `[R]`."""
        schema, results = population.problem.schema, []
        population.body.eval()
        for i in range(len(kept.weights)):
            buffers = {k: v[i] for k, v in kept.buffers.items()}
            bind(population.body, population, kept.weights[i], buffers)
            bind(population.front, population, None, {k: v[i] for k, v in kept.front.items()})
            chosen = rows if rows.dim() == 1 else rows[i]
            inputs = {name: x[chosen] for name, x in examples.inputs.items()}
            raw = population.body(population.front(inputs))
            results.append(outputs(raw, KINDS[schema.kind], schema.num_outputs))
        return torch.stack(results)


def batches_of(
    population: Population,
    index: int,
    own: Buffers,
    values: dict[str, dict[str, Any]],
    context: StepContext,
    keys: Tensor,
) -> Iterator[Batch]:
    """Yields a member's batches, ready for the model.

    When a batch is yielded, the layers that draw have their keys for its step.
    """
    examples, rows, program = population.examples, own["rows"], population.program
    raw = program.acts_on_raw
    size, one = rows.shape[1], slice(index, index + 1)
    assert examples.targets is not None
    per_step = size * sum(x[:1].numel() for x in examples.inputs.values())
    of_rows = {name: x for name, x in own.items() if name != "rows"}
    if program.loss or program.batch:  # nobody else asks, and a slice is a part of a small step
        of_rows["progress"] = progress(context.step.flatten(), context.total, rows)
    k = 0
    for chosen in torch.split(rows, max(1, _GATHERED_VALUES // per_step)):
        flat = chosen.flatten()
        inputs = {name: x[flat] for name, x in examples.inputs.items()}
        ahead = slice(k, k + len(chosen))
        inputs |= {name: x[ahead].flatten(0, 1) for name, x in known_inputs(own).items()}
        if not raw:
            inputs = population.front(inputs)
        pieces = {name: torch.split(x.unsqueeze(0), size, dim=1) for name, x in inputs.items()}
        targets_of = examples.targets[flat].unsqueeze(0)
        mean, std = population.target_mean[one], population.target_std[one]
        scaled = torch.split(scaled_targets(targets_of, mean, std), size, dim=1)
        for i, targets in enumerate(scaled):
            taught = {"values": targets, **{n: x[k : k + 1] for n, x in of_rows.items()}}
            batch = Batch({n: piece[i] for n, piece in pieces.items()}, Targets.of(taught))
            if raw:
                batch = program.transform(batch, values, keys[k][one], raw=True)
                seen = population.front({name: x[0] for name, x in batch.inputs.items()})
                batch = replace(batch, inputs={name: x.unsqueeze(0) for name, x in seen.items()})
            set_layer_keys(population, index, keys[k])
            if program.batch:
                batch = program.transform(batch, values, keys[k][one], raw=False)
            yield batch
            k += 1
