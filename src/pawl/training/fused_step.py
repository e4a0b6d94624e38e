"""One step of a whole population, as a function of all that it depends on, ready to be compiled.

Shape legend: `N` members, `B` rows of a batch, `P` weights of a model.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from pawl import rng
from pawl.data.types import Inputs
from pawl.techniques import Batch, GradientContext, StepContext, Targets
from pawl.training.attention import attention_at_once
from pawl.training.population import Population
from pawl.training.program import Namespace
from pawl.training.state import Buffers, known_inputs, layer_keys
from pawl.training.steps import batch_loss, check_buffer, progress, rows_apart, scaled_targets

Arguments = dict[str, Any]
"""All that a step reads and writes, by name: tensors, and dicts of tensors."""
StepFunction = Callable[[Arguments, Arguments], None]
"""Takes a step in place, given what stays the same for many steps and what is the step's own."""
Gradients = tuple[Tensor, Tensor, Buffers]
"""Losses `[N]`, gradients `[N, P]`, and the buffers that forward replaced."""


def fused_step(population: Population) -> StepFunction:
    """Returns what takes one step of members like these, in place.

    It reads from `fixed`: weights, slots, buffers, shared, front, values (settings by technique),
    inputs, targets, mean, std, total, loss (to which losses are added); from `own`: key, rate, step,
    coefficients, batch (rows `[N, B]`, and what they have of their own).
    """
    program, front, layout = population.program, population.front, population.layout
    drawing = population.drawing
    gradients_of = gradients_of_members(population)
    if (pieces := population.fits[0].pieces) > 1:
        gradients_of = _in_pieces(gradients_of, pieces, drawing)
    static = {name: _plain(settings) for name, settings in population.values.items()}
    timed = bool(program.loss or program.batch)

    def take(fixed: Arguments, own: Arguments) -> None:
        a = {**fixed, **own}
        weights, key, chosen = a["weights"], a["key"], a["batch"]
        values = {name: {**plain, **a["values"][name]} for name, plain in static.items()}
        inputs = {name: _rows(x, chosen["rows"]) for name, x in a["inputs"].items()}
        inputs |= known_inputs(chosen)
        targets = Targets(
            scaled_targets(a["targets"][chosen["rows"]], a["mean"], a["std"]),
            chosen.get("weights"),
            chosen.get("soft"),
            chosen.get("offset"),
            progress(a["step"], a["total"], chosen["rows"]) if timed else None,
        )
        batch = program.transform(Batch(inputs, targets), values, key, raw=True)
        inputs = vmap(lambda f, x: functional_call(front, f, (x,)))(a["front"], batch.inputs)
        batch = program.transform(replace(batch, inputs=inputs), values, key, raw=False)
        settings = {call.name: a["values"][call.name] for call in program.loss}
        buffers = {**a["buffers"], **layer_keys(drawing, key)}

        def gradients_at(others: Tensor) -> Tensor:
            untouched = {name: buffer.clone() for name, buffer in buffers.items()}
            return gradients_of(others, untouched, a["shared"], batch, settings)[1]

        def gradients_by_row() -> Tensor:
            each = partial(gradients_of, shared=a["shared"])
            return _by_row(each, weights, buffers, drawing, batch, settings)

        losses, gradients, reassigned = gradients_of(weights, buffers, a["shared"], batch, settings)
        a["loss"].add_(losses)
        for name, buffer in reassigned.items():
            a["buffers"][name].copy_(buffer)
        now = a["rate"], a["step"], a["total"], layout
        if program.gradient:
            context = GradientContext(*now, key, 0, gradients_at, gradients_by_row)
            gradients = program.change(gradients, weights, values, context)
        update = program.update
        before = weights.clone() if program.keeps_before else None
        named = Namespace({**values[update.name], **a["coefficients"]})
        update.technique.apply(weights, gradients, a["slots"], StepContext(*now), named)
        program.amend(weights, a["slots"], values, StepContext(*now, before=before))

    return take


def gradients_of_members(
    population: Population, *, together: bool = True
) -> Callable[..., Gradients]:
    """Returns what computes the gradients of members like these on a batch.

    Args:
        population: The members.
        together: Whether by `vmap`, or one after the other, for models that it cannot take.
    """
    loss = _member_loss(population)
    losses_of: Callable[..., Any] = (
        vmap(loss, in_dims=(0, 0, None, 0, 0, 0), randomness="different")
        if together
        else partial(_one_by_one, loss)
    )
    layout = population.layout

    def gradients_of(
        weights: Tensor,
        buffers: Buffers,
        shared: Buffers,
        batch: Batch,
        settings: dict[str, Buffers],
    ) -> Gradients:
        views = layout.views(weights)
        leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
        with torch.enable_grad(), attention_at_once():
            losses, reassigned = losses_of(
                leaves, buffers, shared, batch.inputs, batch.targets.tensors(), settings
            )
            pieces = torch.autograd.grad(
                losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
            )
        gradients = dict(zip(leaves, pieces, strict=True))
        return losses.detach(), layout.flat(gradients, len(weights)), reassigned

    return gradients_of


def _one_by_one(
    loss: Callable[..., tuple[Tensor, Buffers]],
    weights: Buffers,
    buffers: Buffers,
    shared: Buffers,
    *of_members: Any,
) -> tuple[Tensor, Buffers]:
    """Returns losses `[N]` of members, each by itself."""
    losses, changed = list[Tensor](), list[Buffers]()
    for i in range(len(next(iter(weights.values())))):
        own = [pytree.tree_map(operator.itemgetter(i), each) for each in (weights, buffers)]
        rest = [pytree.tree_map(operator.itemgetter(i), each) for each in of_members]
        value, reassigned = loss(*own, shared, *rest)
        losses.append(value)
        changed.append(reassigned)
    return torch.stack(losses), {n: torch.stack([c[n] for c in changed]) for n in changed[0]}


def _in_pieces(
    gradients_of: Callable[..., Gradients], pieces: int, drawing: tuple[str, ...]
) -> Callable[..., Gradients]:
    """Returns what computes the same of a batch's parts, one after the other; see `Split.pieces`."""

    def accumulated(
        weights: Tensor,
        buffers: Buffers,
        shared: Buffers,
        batch: Batch,
        settings: dict[str, Buffers],
    ) -> Gradients:
        losses = torch.zeros_like(weights[:, 0])
        gradients = torch.zeros_like(weights)
        reassigned: Buffers = {}
        for number, (share, part) in enumerate(batch.parts(pieces)):
            keys = {f"{n}.key": rng.fold(buffers[f"{n}.key"], number) for n in drawing}
            own = {**buffers, **reassigned, **keys}
            loss, gradient, changed = gradients_of(weights, own, shared, part, settings)
            losses = losses + share * loss
            gradients = gradients + share * gradient
            reassigned |= changed
        return losses, gradients, reassigned

    return accumulated


def _by_row(
    gradients_of: Callable[..., Gradients],
    weights: Tensor,
    buffers: Buffers,
    drawing: tuple[str, ...],
    batch: Batch,
    settings: dict[str, Buffers],
) -> Tensor:
    """Returns `[N, B, P]`: as if each row of each member were a member with a batch of one."""
    members, size = batch.targets.values.shape[:2]

    def repeated(x: Tensor) -> Tensor:
        return x.repeat_interleave(size, 0)

    own = {name: repeated(buffer) for name, buffer in buffers.items()}
    row = torch.arange(size, dtype=torch.int32, device=weights.device).repeat(members)
    for name in drawing:
        own[f"{name}.key"] = rng.fold(own[f"{name}.key"], row)
    inputs = {name: x.reshape(-1, 1, *x.shape[2:]) for name, x in batch.inputs.items()}
    each = {name: {k: repeated(v) for k, v in own_.items()} for name, own_ in settings.items()}
    apart = Batch(inputs, rows_apart(batch.targets))
    found = gradients_of(repeated(weights), own, batch=apart, settings=each)[1]
    return found.view(members, size, -1)


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
        shared: Buffers,
        inputs: Inputs,
        targets: dict[str, Tensor],
        values: dict[str, Buffers],
    ) -> tuple[Tensor, Buffers]:
        state = {**weights, **buffers, **shared}
        raw = functional_call(body, state, (inputs,))
        # PyTorch puts into `state` what forward assigned; what it changed in place is the same tensor.
        reassigned = {
            name: check_buffer(name, buffer, state[name])
            for name, buffer in buffers.items()
            if state[name] is not buffer
        }
        settings = {name: {**plain, **values[name]} for name, plain in static.items()}
        term = program.loss_term(base, settings)
        value = batch_loss(problem, term, raw, Targets.of(targets), weights, several=several)
        return value, reassigned

    return loss


def _rows(tensor: Tensor, rows: Tensor) -> Tensor:
    """Returns rows `[N, B]` of a tensor `[R, ...]`; faster than indexing with a matrix."""
    return tensor.index_select(0, rows.flatten()).view(*rows.shape, *tensor.shape[1:])


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not isinstance(value, Tensor)}
