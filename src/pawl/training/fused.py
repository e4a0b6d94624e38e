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
from pawl.training.attention import attention_at_once
from pawl.training.compiled import CompiledStep
from pawl.training.fused_step import Arguments, StepFunction, fused_step
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.state import Buffers, EvaluationState
from pawl.training.steps import average, averaging_due


class FusedStepper:
    """Computes every member's step at once.

    Gradients are taken of the vmapped loss's sum: members do not share weights, so each gets its
    own gradient, and batch normalization may update its statistics in place, which it may not
    inside `vmap(grad(...))`.

    A compiled step has a fixed width. Copies of the first member fill empty places; populations of
    less than half the width take their steps operation by operation. Members whose batches differ in
    size, because some have fewer rows than a batch or images change theirs, take theirs one member
    after the other.

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
            self._take = fused_step(population)

    def _key(self, population: Population) -> tuple[object, ...]:
        """Returns what a compiled step depends on: the structure, and the shapes of what it reads."""
        structure, fits = population.members[0].recipe.structure, population.fits
        more = tuple(
            any(x is not None for x in each)
            for each in zip(*((f.weights, f.soft, f.offset) for f in fits), strict=True)
        )
        shapes = self.width, fits[0].batch_size, len(population.examples), *more
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
            steps[key] = CompiledStep(fused_step(population), self.backend)
        step: CompiledStep = steps[key]
        return step

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once.

        What all members compute at once should stay in the processor's cache.
        """
        return max(32, min(8192, 131_072 // (members * values)))

    def advance(self, population: Population, batches: Sequence[Buffers]) -> Tensor:
        """Takes one step per batch; returns mean losses `[N]`. See `Stepper`."""
        count = len(population)
        step = self._take
        assert step is not None
        alike = {name: x.shape for name, x in batches[0].items()}
        differ = any({name: x.shape for name, x in own.items()} != alike for own in batches)
        if differ or population.program.alone:
            return SerialStepper().advance(population, batches)
        if self.backend is None or not self.width // 2 <= count <= self.width:
            return self._advance(population, batches, partial(_bind, step))
        bind = self._compiled(population).bind
        if count == self.width:
            return self._advance(population, batches, bind)
        filled = [*range(count), *[0] * (self.width - count)]
        population.keep(filled)
        losses = self._advance(population, [batches[i] for i in filled], bind)
        population.keep(range(count))
        return losses[:count]

    def _advance(
        self,
        population: Population,
        batches: Sequence[Buffers],
        bind: Callable[[Arguments, Arguments], Callable[[int], None]],
    ) -> Tensor:
        state, program, values = population.state, population.program, population.values
        population.body.train()
        steps = len(batches[0]["rows"])
        taken = population.step.to(population.device, torch.float32)
        ahead = taken + torch.arange(steps, device=population.device).unsqueeze(1)
        total = population.total.to(population.device, torch.float32)
        rng.seed_stock(int(population.seed_key[0]) + int(population.step[0]), population.device)
        with torch.no_grad():
            rates = program.rates(values, ahead, total) * state.pace
            done = ahead + 1.0
            arguments: Arguments = {
                "weights": state.weights,
                "slots": state.slots,
                "buffers": state.buffers,
                "shared": population.shared,
                "front": state.front,
                "values": {name: _tensors(settings) for name, settings in values.items()},
                "inputs": population.examples.inputs,
                "targets": population.examples.targets,
                "mean": population.target_mean,
                "std": population.target_std,
                "total": total,
                "loss": torch.zeros(len(population), device=population.device),
            }
            each: Arguments = {
                "key": population.step_keys(steps), "rate": rates, "step": done,
                "coefficients": program.coefficients(values, rates, done),
                "batch": {
                    name: torch.stack([own[name] for own in batches], 1) for name in batches[0]
                },
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
        self, population: Population, examples: Examples, rows: Tensor, kept: EvaluationState
    ) -> Tensor:
        """Returns outputs, as the loss takes them, for rows `[N, R]` or `[R]`."""
        population.body.eval()
        schema, front, body = population.problem.schema, population.front, population.body
        kind = KINDS[schema.kind]

        def one(w: Buffers, b: Buffers, f: Buffers, inputs: Inputs) -> Tensor:
            prepared = functional_call(front, f, (inputs,))
            raw = functional_call(body, (w, b, population.shared), (prepared,))
            return outputs(raw, kind, schema.num_outputs)

        inputs = {name: x[rows] for name, x in examples.inputs.items()}
        shared = None if rows.dim() == 1 else 0
        with attention_at_once():
            return vmap(one, in_dims=(0, 0, 0, shared), randomness="different")(
                population.layout.views(kept.weights), kept.buffers, kept.front, inputs
            )


def _bind(step: StepFunction, fixed: Arguments, ahead: Arguments) -> Callable[[int], None]:
    """Returns what takes a step operation by operation; see `CompiledStep.bind`."""
    return lambda k: step(fixed, pytree.tree_map(lambda each: each[k], ahead))


def _tensors(settings: Mapping[str, Any]) -> Buffers:
    return {key: value for key, value in settings.items() if isinstance(value, Tensor)}
