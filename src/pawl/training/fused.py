"""The fused stepper: one `vmap` over all members takes a step of the whole population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from pawl import rng
from pawl.data.types import Examples, Inputs
from pawl.kinds import KINDS
from pawl.models import outputs
from pawl.techniques import Batch
from pawl.training.compiled import CompiledStep
from pawl.training.population import Population, dropout_keys
from pawl.training.program import Namespace
from pawl.training.serial import SerialStepper
from pawl.training.state import Buffers, Kept
from pawl.training.steps import (
    average,
    averaging_due,
    batch_loss,
    check_buffer,
    extras,
    scaled_targets,
)

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
    less than half the width take their steps operation by operation. Members whose batches differ in
    size, because some have fewer rows than a batch, take theirs one member after the other.

    Args:
        backend: What runs the whole step, from the rows of the batch to the new weights, as one
            graph; see `CompiledStep`. `None` runs it operation by operation.
        width: Members of a compiled step; needed with a backend, and of no use without.
    """

    name = "fused"

    def __init__(self, *, backend: str | None = None, width: int = 0) -> None:
        self.backend = backend
        self.width = width if backend else 0
        self._take: StepFunction | None = None

    def rebind(self, population: Population) -> None:
        """Builds the step before its first use; it holds for all populations of the structure."""
        if self._take is None:
            self._take = _step(population)

    def _key(self, population: Population) -> tuple[object, ...]:
        """Returns what a compiled step depends on: the structure, and the shapes of what it reads."""
        structure, fits = population.members[0].recipe.structure, population.fits
        weighed = any(fit.weights is not None for fit in fits)
        shapes = self.width, fits[0].batch_size, len(population.examples), weighed
        return structure, *shapes, self.backend, torch.get_num_threads()

    def is_compiled(self, population: Population) -> bool:
        """Tells whether the problem keeps a compiled step for populations like this one."""
        step: CompiledStep | None = population.problem.compiled_steps.get(self._key(population))
        return step is not None and step.ready

    def _compiled(self, population: Population) -> CompiledStep:
        """Returns the structure's compiled step; the problem keeps it for other populations."""
        key = self._key(population)
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

    def advance(
        self, population: Population, rows: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> Tensor:
        """Takes one step per batch; returns mean losses `[N]`. See `Stepper`."""
        count = len(population)
        step = self._take
        assert step is not None
        if any(own.shape != rows[0].shape for own in rows):
            return SerialStepper().advance(population, rows, weights)
        if self.backend is None or not self.width // 2 <= count <= self.width:
            return self._advance(population, rows, weights, partial(_bind, step))
        bind = self._compiled(population).bind
        if count == self.width:
            return self._advance(population, rows, weights, bind)
        filled = [*range(count), *[0] * (self.width - count)]
        population.keep(filled)
        chosen, counts = ([each[i] for i in filled] if each else [] for each in (rows, weights))
        losses = self._advance(population, chosen, counts, bind)
        population.keep(range(count))
        return losses[:count]

    def _advance(
        self,
        population: Population,
        rows: Sequence[Tensor],
        weights: Sequence[Tensor],
        bind: Callable[[Arguments, Arguments], Callable[[int], None]],
    ) -> Tensor:
        state, program, values = population.state, population.program, population.values
        population.body.train()
        steps = len(rows[0])
        taken = population.step.to(population.device, torch.float32)
        ahead = taken + torch.arange(steps, device=population.device).unsqueeze(1)
        total = population.total.to(population.device, torch.float32)
        keys = rng.fold(population.seed_key, ahead.to(torch.int32))
        rng.seed_stock(int(population.seed_key[0]) + int(population.step[0]), population.device)
        with torch.no_grad():
            rates = program.rates(values, ahead, total)
            done = ahead + 1.0
            coefficients = program.coefficients(values, rates, done)
            arguments: Arguments = {
                "weights": state.weights,
                "slots": state.slots,
                "buffers": state.buffers,
                "front": state.front,
                "values": {name: _tensors(settings) for name, settings in values.items()},
                "inputs": population.examples.inputs,
                "targets": population.examples.targets,
                "mean": population.target_mean,
                "std": population.target_std,
                "loss": torch.zeros(len(population), device=population.device),
            }
            each: Arguments = {
                "rows": torch.stack(list(rows), 1), "key": keys, "rate": rates, "step": done,
                "coefficients": coefficients,
            }  # fmt: skip
            if weights:
                each["counts"] = torch.stack(list(weights), 1)
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
        """Returns outputs, as the loss takes them, for rows `[N, R]` or `[R]`."""
        population.body.eval()
        schema, front, body = population.problem.schema, population.front, population.body
        kind = KINDS[schema.kind]

        def one(w: Buffers, b: Buffers, f: Buffers, inputs: Inputs) -> Tensor:
            prepared = functional_call(front, f, (inputs,))
            raw = functional_call(body, (w, b), (prepared,))
            return outputs(raw, kind, schema.num_outputs)

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
        batch = Batch(inputs, targets, weights=a.get("counts"))
        batch = program.transform(batch, values, key)
        keys = dropout_keys(dropouts, key)
        views = layout.views(weights)
        leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        with torch.enable_grad():
            losses, reassigned = losses_of(
                leaves, {**a["buffers"], **keys}, batch.inputs, batch.targets, extras(batch),
                {call.name: a["values"][call.name] for call in program.loss},
            )  # fmt: skip
            pieces = torch.autograd.grad(
                losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        a["loss"].add_(losses.detach())
        for name, buffer in reassigned.items():
            a["buffers"][name].copy_(buffer)
        gradients = torch.cat([g.reshape(members, -1) for g in pieces], dim=1)
        for call in program.gradient:
            gradients = call.technique.apply(gradients, weights, Namespace(values[call.name]))
        update = program.update
        settings = Namespace({**values[update.name], **a["coefficients"]})
        update.technique.apply(weights, gradients, a["slots"], a["rate"], a["step"], settings)

    return take


def _member_loss(population: Population) -> Callable[..., tuple[Tensor, Buffers]]:
    """Returns the loss of one member, and the buffers that its forward replaced.

    As a function of all it depends on.
    """
    problem, program, body = population.problem, population.program, population.body
    base, several = problem.base_loss(), population.several
    static = {call.name: _plain(population.values[call.name]) for call in program.loss}

    def loss(
        weights: Buffers,
        buffers: Buffers,
        inputs: Inputs,
        targets: Tensor,
        more: dict[str, Tensor],
        values: dict[str, Buffers],
    ) -> tuple[Tensor, Buffers]:
        state = {**weights, **buffers}
        raw = functional_call(body, state, (inputs,))
        # PyTorch puts into `state` what forward assigned; what it changed in place is the same tensor.
        reassigned = {
            name: check_buffer(name, buffer, state[name])
            for name, buffer in buffers.items()
            if state[name] is not buffer
        }
        settings = {name: {**plain, **values[name]} for name, plain in static.items()}
        term = program.loss_term(base, settings)
        value = batch_loss(problem, term, raw, targets, weights, more, several=several)
        return value, reassigned

    return loss


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """Returns rows `[N, B]` of a tensor `[R, ...]`; faster than indexing with a matrix."""
    return tensor.index_select(0, rows.flatten()).view(*rows.shape, *tensor.shape[1:])


def _tensors(settings: Mapping[str, Any]) -> Buffers:
    return {key: value for key, value in settings.items() if isinstance(value, Tensor)}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not isinstance(value, Tensor)}
