"""The fused stepper: one `vmap` over all members takes a step of the whole population."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from pawl import rng
from pawl.data.types import Examples, Inputs
from pawl.models import outputs
from pawl.recipe import Recipe
from pawl.techniques import AVERAGE_INTERVAL, Batch
from pawl.training.compiled import CompiledStep
from pawl.training.population import Buffers, Kept, Population, dropout_keys
from pawl.training.problem import Problem
from pawl.training.program import Namespace

Arguments = dict[str, Any]
"""All that a step reads and writes, by name: tensors, and dicts of tensors."""
StepFunction = Callable[[Arguments, Arguments], None]
"""Takes a step in place, given what stays the same for many steps and what is the step's own."""


class FusedStepper:
    """Computes every member's step at once.

    Gradients are taken of the vmapped loss's sum: members do not share weights, so each gets its
    own gradient, and batch normalization may update its statistics in place, which it may not
    inside `vmap(grad(...))`.

    A compiled step has a fixed width. Copies of the first member fill empty places; populations of
    less than half the width take their steps operation by operation.

    Args:
        backend: What runs the whole step, from the rows of the batch to the new weights, as one
            graph; see `CompiledStep`. `None` runs it operation by operation.
        width: Members of a compiled step; needed with a backend.
    """

    name = "fused"

    def __init__(self, *, backend: str | None = None, width: int = 0) -> None:
        self.backend = backend
        self.width = width
        self._take: StepFunction | None = None

    def rebind(self, population: Population) -> None:
        """Builds the step before its first use; it holds for all populations of the structure."""
        if self._take is None:
            self._take = _step(population)

    def _key(self, recipe: Recipe) -> tuple[object, ...]:
        return recipe.structure, self.width, self.backend, torch.get_num_threads()

    def is_compiled(self, problem: Problem, recipe: Recipe) -> bool:
        """Tells whether the problem keeps a compiled step for this recipe's structure."""
        step: CompiledStep | None = problem.compiled_steps.get(self._key(recipe))
        return step is not None and step.ready

    def _compiled(self, population: Population) -> CompiledStep:
        """Returns the structure's compiled step; the problem keeps it for other populations."""
        key = self._key(population.members[0].recipe)
        steps = population.problem.compiled_steps
        if key not in steps:
            assert self.backend is not None
            steps[key] = CompiledStep(_step(population), self.backend)
        step: CompiledStep = steps[key]
        return step

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once.

        What all members compute at once should stay in the processor's cache.
        """
        return max(32, min(8192, 131_072 // (members * values)))

    def advance(self, population: Population, rows: Tensor) -> Tensor:
        """Takes one step per batch of `rows` `[N, K, B]`; returns mean losses `[N]`."""
        count = len(population)
        step = self._take
        assert step is not None
        if self.backend is None or not self.width // 2 <= count <= self.width:
            return self._advance(population, rows, partial(_bind, step))
        bind = self._compiled(population).bind
        if count == self.width:
            return self._advance(population, rows, bind)
        filled = [*range(count), *[0] * (self.width - count)]
        population.keep(filled)
        losses = self._advance(population, rows[torch.tensor(filled)], bind)
        population.keep(range(count))
        return losses[:count]

    def _advance(
        self,
        population: Population,
        rows: Tensor,
        bind: Callable[[Arguments, Arguments], Callable[[int], None]],
    ) -> Tensor:
        state, program, values = population.state, population.program, population.values
        population.body.train()
        steps = rows.shape[1]
        taken = population.step.to(population.device, torch.float32)
        ahead = taken + torch.arange(steps, device=rows.device).unsqueeze(1)
        total = population.total.to(population.device, torch.float32)
        keys = rng.fold(population.seed_key, ahead.to(torch.int32))
        rng.seed_stock(int(population.seed_key[0]) + int(population.step[0]), population.device)
        with torch.no_grad():
            rates = program.rates(values, ahead, total)
            done = ahead + 1.0
            coefficients = program.coefficients(values, rates, done)
            batches = rows.transpose(0, 1).contiguous()
            arguments: Arguments = {
                "weights": state.weights,
                "slots": state.slots,
                "buffers": state.buffers,
                "front": state.front,
                "values": {name: _tensors(settings) for name, settings in values.items()},
                "inputs": population.problem.examples.inputs,
                "targets": population.problem.targets,
                "mean": population.target_mean,
                "std": population.target_std,
                "loss": torch.zeros(len(population), device=population.device),
            }
            each: Arguments = {
                "rows": batches, "key": keys, "rate": rates, "step": done,
                "coefficients": coefficients,
            }  # fmt: skip
            take = bind(arguments, each)
            for k in range(steps):
                take(k)
                if program.average:
                    due = averaging_due(population.step + k + 1, population.total)
                    if bool(due.any()):
                        members = due.nonzero().flatten().to(population.device)
                        average(population, members, done[k][members])
        loss: Tensor = arguments["loss"]
        return loss / steps

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: Kept
    ) -> Tensor:
        """Returns logits `[N, R, C]` or scaled values `[N, R]` for rows `[N, R]` or `[R]`."""
        population.body.eval()
        schema, front, body = population.problem.schema, population.front, population.body

        def one(w: Buffers, b: Buffers, f: Buffers, inputs: Inputs) -> Tensor:
            prepared = functional_call(front, f, (inputs,))
            raw = functional_call(body, (w, b), (prepared,))
            return outputs(raw, schema.kind, schema.num_outputs)

        inputs = {name: x[rows] for name, x in examples.inputs.items()}
        shared = None if rows.dim() == 1 else 0
        return vmap(one, in_dims=(0, 0, 0, shared), randomness="different")(
            population.layout.views(kept.weights), kept.buffers, kept.front, inputs
        )


def _bind(step: StepFunction, fixed: Arguments, ahead: Arguments) -> Callable[[int], None]:
    """Returns what takes a step operation by operation; see `CompiledStep.bind`."""
    return lambda k: step(fixed, pytree.tree_map(lambda each: each[k], ahead))


def _step(population: Population) -> StepFunction:
    """Returns what takes one step, in place, as a function of all that it depends on."""
    program, front = population.program, population.front
    layout, dropouts = population.layout, tuple(population.dropouts)
    losses_of = vmap(_member_loss(population), randomness="different")
    static = {name: _plain(settings) for name, settings in population.values.items()}

    def take(fixed: Arguments, own: Arguments) -> None:
        a = {**fixed, **own}
        weights, key = a["weights"], a["key"]
        members = len(weights)
        values = {name: {**plain, **a["values"][name]} for name, plain in static.items()}
        inputs = {name: _rows(x, a["rows"]) for name, x in a["inputs"].items()}
        inputs = vmap(lambda f, x: functional_call(front, f, (x,)))(a["front"], inputs)
        targets = scaled_targets(a["targets"][a["rows"]], a["mean"], a["std"])
        batch = program.transform(Batch(inputs, targets), values, key)
        keys = dropout_keys(dropouts, key)
        views = layout.views(weights)
        leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        with torch.enable_grad():
            losses = losses_of(
                leaves, {**a["buffers"], **keys}, batch.inputs, batch.targets, _mixture(batch),
                {call.name: a["values"][call.name] for call in program.loss},
            )  # fmt: skip
            pieces = torch.autograd.grad(
                losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        a["loss"].add_(losses.detach())
        gradients = torch.cat([g.reshape(members, -1) for g in pieces], dim=1)
        for call in program.gradient:
            gradients = call.technique.apply(gradients, weights, Namespace(values[call.name]))
        update = program.update
        settings = Namespace({**values[update.name], **a["coefficients"]})
        update.technique.apply(weights, gradients, a["slots"], a["rate"], a["step"], settings)

    return take


def _member_loss(population: Population) -> Callable[..., Tensor]:
    """Returns the loss of one member as a function of all it depends on."""
    problem, program, body = population.problem, population.program, population.body
    schema, base = problem.schema, problem.base_loss()
    convert = problem.loss is None
    static = {call.name: _plain(population.values[call.name]) for call in program.loss}

    def loss(
        weights: Buffers,
        buffers: Buffers,
        inputs: Inputs,
        targets: Tensor,
        mixture: dict[str, Tensor],
        values: dict[str, Buffers],
    ) -> Tensor:
        raw = functional_call(body, (weights, buffers), (inputs,))
        out = outputs(raw, schema.kind, schema.num_outputs) if convert else raw
        settings = {name: {**plain, **values[name]} for name, plain in static.items()}
        term = program.loss_term(base, settings)
        value = term(out, targets, weights)
        if mixture:
            share = mixture["share"]
            value = share * value + (1.0 - share) * term(out, mixture["partners"], weights)
        return value

    return loss


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """Returns rows `[N, B]` of a tensor `[R, ...]`; faster than indexing with a matrix."""
    return tensor.index_select(0, rows.flatten()).view(*rows.shape, *tensor.shape[1:])


def _tensors(settings: Mapping[str, Any]) -> Buffers:
    return {key: value for key, value in settings.items() if isinstance(value, Tensor)}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not isinstance(value, Tensor)}


def _mixture(batch: Batch) -> dict[str, Tensor]:
    # vmap takes no None; an empty dict stands for "not mixed".
    if batch.partners is None or batch.share is None:
        return {}
    return {"partners": batch.partners, "share": batch.share}


def scaled_targets(targets: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Returns targets `[N, B]`; values are put in units of the training rows' deviation."""
    if not targets.is_floating_point():
        return targets
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
