"""The fused stepper: one `vmap` over all members takes a step of the whole population."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from pawl.data.types import Examples, Inputs
from pawl.models import outputs, predictions
from pawl.techniques import AVERAGE_INTERVAL, Batch
from pawl.training.population import Buffers, Kept, Population
from pawl.training.program import Namespace


class FusedStepper:
    """Computes every member's step at once.

    Gradients are taken of the vmapped loss's sum: members do not share weights, so each gets its
    own gradient, and batch normalization may update its statistics in place, which it may not
    inside `vmap(grad(...))`.

    Args:
        compiled: Compile the forward pass with `torch.compile` (dynamic shapes, so that a shrinking
            population does not compile anew).
    """

    name = "fused"

    def __init__(self, *, compiled: bool = False) -> None:
        self.compiled = compiled
        self._leaves: dict[str, Tensor] = {}
        self._losses: Callable[..., Tensor] | None = None

    def rebind(self, population: Population) -> None:
        """Makes leaf views into the weight matrix, from which gradients are taken."""
        views = population.layout.views(population.state.weights)
        self._leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        if self._losses is None:
            self._losses = vmap(_member_loss(population), randomness="different")
            if self.compiled:
                self._losses = torch.compile(self._losses, dynamic=True)

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once.

        What all members compute at once should stay in the processor's cache.
        """
        return max(32, min(8192, 131_072 // (members * values)))

    def advance(self, population: Population, rows: Tensor) -> Tensor:
        """Takes one step per batch of `rows` `[N, K, B]`; returns mean losses `[N]`."""
        state, program, values = population.state, population.program, population.values
        population.body.train()
        steps = rows.shape[1]
        taken = population.step.to(population.device, torch.float32)
        ahead = taken + torch.arange(steps, device=rows.device).unsqueeze(1)
        total = population.total.to(population.device, torch.float32)
        with torch.no_grad():
            rates = program.rates(values, ahead, total)
        loss_values = {call.name: values[call.name] for call in program.loss}
        total_loss = torch.zeros(len(population), device=population.device)
        torch.manual_seed(int(population.seed_key[0]) + int(population.step[0]))
        for k in range(steps):
            key = population.step_keys(k)
            population.set_dropout_keys(key)
            with torch.no_grad():
                batch = program.transform(_gather(population, rows[:, k]), values, key)
            assert self._losses is not None
            losses = self._losses(
                self._leaves, state.buffers, batch.inputs, batch.targets, _mixture(batch),
                loss_values,
            )  # fmt: skip
            pieces = torch.autograd.grad(
                losses.sum(), list(self._leaves.values()), allow_unused=True, materialize_grads=True
            )
            with torch.no_grad():
                total_loss += losses.detach()
                gradients = torch.cat([g.reshape(len(population), -1) for g in pieces], dim=1)
                for call in program.gradient:
                    settings = Namespace(values[call.name])
                    gradients = call.technique.apply(gradients, state.weights, settings)
                update = program.update
                update.technique.apply(
                    state.weights, gradients, state.slots, rates[k], ahead[k] + 1.0,
                    Namespace(values[update.name]),
                )  # fmt: skip
                if program.average:
                    due = averaging_due(population.step + k + 1, population.total)
                    if bool(due.any()):
                        members = due.nonzero().flatten().to(population.device)
                        average(population, members, ahead[k][members] + 1.0)
        return total_loss / steps

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: Kept
    ) -> Tensor:
        """Returns predictions `[N, R, C]` or `[N, R]` for rows `[N, R]` or `[R]`."""
        population.body.eval()
        schema, front, body = population.problem.schema, population.front, population.body

        def one(
            w: Buffers, b: Buffers, f: Buffers, mean: Tensor, std: Tensor, inputs: Inputs
        ) -> Tensor:
            prepared = functional_call(front, f, (inputs,))
            raw = functional_call(body, (w, b), (prepared,))
            return predictions(raw, schema.kind, schema.num_outputs, mean, std)

        inputs = {name: x[rows] for name, x in examples.inputs.items()}
        shared = None if rows.dim() == 1 else 0
        return vmap(one, in_dims=(0, 0, 0, 0, 0, shared), randomness="different")(
            population.layout.views(kept.weights), kept.buffers, kept.front, kept.target_mean,
            kept.target_std, inputs,
        )  # fmt: skip


def _member_loss(population: Population) -> Callable[..., Tensor]:
    """Returns the loss of one member as a function of all it depends on."""
    problem, program, body = population.problem, population.program, population.body
    schema, base = problem.schema, problem.base_loss()
    convert = problem.loss is None

    def loss(
        weights: Buffers,
        buffers: Buffers,
        inputs: Inputs,
        targets: Tensor,
        mixture: dict[str, Tensor],
        values: dict[str, dict[str, Any]],
    ) -> Tensor:
        raw = functional_call(body, (weights, buffers), (inputs,))
        out = outputs(raw, schema.kind, schema.num_outputs) if convert else raw
        term = program.loss_term(base, values)
        value = term(out, targets, weights)
        if mixture:
            share = mixture["share"]
            value = share * value + (1.0 - share) * term(out, mixture["partners"], weights)
        return value

    return loss


def _mixture(batch: Batch) -> dict[str, Tensor]:
    # vmap takes no None; an empty dict stands for "not mixed".
    if batch.partners is None or batch.share is None:
        return {}
    return {"partners": batch.partners, "share": batch.share}


def _gather(population: Population, rows: Tensor) -> Batch:
    """Returns the batch of rows `[N, B]`, front layers applied and targets scaled."""
    examples = population.problem.examples
    inputs = {name: x[rows] for name, x in examples.inputs.items()}
    inputs = vmap(lambda f, x: functional_call(population.front, f, (x,)))(
        population.state.front, inputs
    )
    return Batch(inputs, scaled_targets(population, rows, slice(None)))


def scaled_targets(population: Population, rows: Tensor, members: slice) -> Tensor:
    """Returns the targets of rows `[N, B]`; values are in units of the training rows' deviation."""
    targets = population.problem.targets[rows]
    if not targets.is_floating_point():
        return targets
    mean, std = population.target_mean[members], population.target_std[members]
    return (targets - mean.unsqueeze(1)) / std.unsqueeze(1)


def averaging_due(step: Tensor, total: Tensor) -> Tensor:
    """Tells whose averages move behind these steps, which depends on a member's own steps alone."""
    return (step % AVERAGE_INTERVAL == 0) | (step == total)


def average(population: Population, members: slice | Tensor, step: Tensor) -> None:
    """Runs the average stage for some members; `step` is their steps taken, `[N']`."""
    state = population.state
    assert state.average is not None
    for call in population.program.average:
        settings = Namespace(
            {
                k: v[members] if isinstance(v, Tensor) else v
                for k, v in population.values[call.name].items()
            }
        )
        apply = call.technique.apply
        state.average[members] = apply(
            state.average[members], state.weights[members], step, settings
        )
        for name, buffer in state.buffers.items():
            kept = state.average_buffers[name]
            if buffer.is_floating_point():
                flat = kept[members].flatten(1) if kept.dim() > 1 else kept[members, None]
                new = buffer[members].flatten(1) if buffer.dim() > 1 else buffer[members, None]
                kept[members] = apply(flat, new, step, settings).view_as(kept[members])
            else:
                kept[members] = buffer[members]
