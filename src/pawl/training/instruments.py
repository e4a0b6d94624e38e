"""Instruments on every training: what the layers of all members do, in a small share of their time.

A reading is a pass of its own between two calls of the stepper, so a step stays what it is, compiled or
not, and no result depends on one. What readings have cost is measured, and the next one is taken when it
fits the share of the time that steps have taken; a short training has none.

Shape legend: `N` members, `B` rows of a batch, `P` weights of a model, `T` tensors that are read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pawl.techniques import Batch, Targets
from pawl.training.fused_step import gradients_of_members
from pawl.training.population import Population
from pawl.training.state import known_inputs, layer_keys
from pawl.training.steps import progress, scaled_targets

SHARE = 0.02
"""Of the time of steps, readings take so much at most. With what they do to the steps after them (the
caches are theirs) trainings then stay within 3%."""
_UNKNOWN_STEPS, _UNKNOWN_SECONDS = 4.0, 0.05
"""What a first reading is taken to cost at least: it runs operation by operation, a step may not, and
what reads has to be made first. Measured: one to two steps where these are not compiled, 3 to 90 ms."""
_MOST_READINGS, _MOST_LAYERS = 24, 32


@dataclass(frozen=True)
class LayerReading:
    """What the layers of one member did at a step; one number for each tensor that is read.

    Attributes:
        step: Steps taken.
        norms: Euclidean norms of the weights.
        gradients: Norms of the gradients of the batch's loss, before any technique changes them; empty
            where they could not be had.
        moved: Norms of the change of a step over the norms of the weights, the mean over the few steps
            that followed.
    """

    step: int
    norms: tuple[float, ...]
    gradients: tuple[float, ...]
    moved: tuple[float, ...]


@dataclass(frozen=True)
class LayerReadings:
    """All readings of a member: names of the tensors, and readings in order of steps.

    Example:
        >>> reading = LayerReading(5, (2.0,), (0.125,), (0.25,))
        >>> LayerReadings(("hidden.weight",), (reading,)).to_dict()["gradients"]
        [[0.125]]
    """

    names: tuple[str, ...] = ()
    readings: tuple[LayerReading, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-ready values, what is not finite as `None`; empty without readings."""
        if not self.readings:
            return {}
        columns = ("norms", "gradients", "moved")
        return {
            "names": list(self.names),
            "steps": [each.step for each in self.readings],
            **{name: [_rounded(getattr(r, name)) for r in self.readings] for name in columns},
        }


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [float(f"{x:.4g}") if abs(x) < float("inf") else None for x in values]


class Instruments:
    """Takes a population's steps, and readings of it now and then.

    Args:
        population: Whose.
        share: Of the time of its steps, that readings may take; 0 for none.

    Attributes:
        stepping: Seconds that steps have taken.
        reading: Seconds that readings have taken.
        trouble: Why there are no more readings; empty if there may be some.
    """

    def __init__(self, population: Population, share: float = SHARE) -> None:
        self.share, self.stepping, self.reading = share, 0.0, 0.0
        self.trouble = ""
        self._steps = self._taken = 0
        self._last = 0.0
        layout = population.layout
        wide = [
            name for name, shape in zip(layout.names, layout.shapes, strict=True) if len(shape) > 1
        ]
        self.names = tuple(_evenly(wide or list(layout.names), _MOST_LAYERS))
        self._of: list[list[LayerReading]] = [[] for _ in range(len(population))]
        self._gradients: Any = None

    @property
    def due(self) -> bool:
        """Whether a reading fits the share."""
        if not self.share or self.trouble or not self._steps:
            return False
        step = self.stepping / self._steps
        cost = self._last if self._taken else max(_UNKNOWN_STEPS * step, _UNKNOWN_SECONDS)
        return self.reading + cost <= self.share * self.stepping

    def advance(self, population: Population, steps: int) -> Tensor:
        """Takes steps, a reading before them if one is due; returns mean losses `[N]`, on the CPU."""
        due = self.due
        started = time.perf_counter()
        before = self._guarded(self._before, population) if due else None
        begun = time.perf_counter()
        losses = population.advance(steps).cpu()
        ended = time.perf_counter()
        if before is not None:
            self._guarded(self._after, population, *before, steps)
        self.stepping += ended - begun
        self._steps += steps
        if due:
            self._taken += 1
            self._last = begun - started + time.perf_counter() - ended
            self.reading += self._last
        return losses

    def _guarded(self, part: Any, *given: Any) -> Any:
        """Runs a part of a reading; one that cannot be taken is the last, and fails no training."""
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                return part(*given)
        except Exception as error:  # of the user's model, or memory that ran out
            self.trouble = f"{type(error).__name__}: {error}"
            return None

    def _before(self, population: Population) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns steps taken `[N]`, weights, and norms of gradients `[N, T]`, before some steps."""
        if self._gradients is None:
            self._gradients = gradients_of_members(
                population, together=population.stepper.name != "serial"
            )
        batches = population.batches_at(
            [population.next_places(i, 1) for i in range(len(population))]
        )
        alike = len({own["rows"].shape for own in batches}) == 1
        found = None
        if alike:
            own = {name: torch.stack([each[name][0] for each in batches]) for name in batches[0]}
            found = self._norms(population, self._of_batch(population, own))
        return population.step.clone(), population.state.weights.clone(), found

    def _of_batch(self, population: Population, own: dict[str, Tensor]) -> Tensor:
        """Returns the gradients `[N, P]` of batches as no technique has changed them."""
        state, rows, key = population.state, own["rows"], population.step_keys(1)[0]
        examples = population.examples
        assert examples.targets is not None
        inputs = {name: x[rows] for name, x in examples.inputs.items()} | known_inputs(own)
        population.body.train()
        front, fronts = population.front, state.front
        each = [
            torch.func.functional_call(
                front, {n: x[i] for n, x in fronts.items()}, ({n: x[i] for n, x in inputs.items()},)
            )
            for i in range(len(rows))
        ]
        inputs = {name: torch.stack([one[name] for one in each]) for name in each[0]}
        step, total = (
            x.to(rows.device, torch.float32) for x in (population.step, population.total)
        )
        targets = Targets(
            scaled_targets(examples.targets[rows], population.target_mean, population.target_std),
            own.get("weights"), own.get("soft"), own.get("offset"), progress(step + 1, total, rows),
        )  # fmt: skip
        settings = {
            call.name: {
                k: v for k, v in population.values[call.name].items() if isinstance(v, Tensor)
            }
            for call in population.program.loss
        }
        buffers = {name: x.clone() for name, x in state.buffers.items()}
        buffers |= layer_keys(population.drawing, key)
        gradients: Tensor = self._gradients(
            state.weights, buffers, population.shared, Batch(inputs, targets), settings
        )[1]
        return gradients

    def _after(
        self,
        population: Population,
        taken: Tensor,
        before: Tensor,
        gradients: Tensor | None,
        steps: int,
    ) -> None:
        norms = self._norms(population, before)
        moved = self._norms(population, population.state.weights - before) / norms.clamp_min(1e-12)
        slopes: list[list[float]] = [[]] * len(before)
        if gradients is not None:
            slopes = gradients.tolist()
        columns = taken.tolist(), norms.tolist(), slopes, (moved / steps).tolist()
        for own, step, norm, slope, far in zip(self._of, *columns, strict=True):
            own.append(LayerReading(step, tuple(norm), tuple(slope), tuple(far)))
            if len(own) > _MOST_READINGS:  # every second one, as far apart as before in all
                own[:] = own[::2]

    def _norms(self, population: Population, flat: Tensor) -> Tensor:
        views = population.layout.views(flat)
        return torch.stack([views[name].flatten(1).norm(dim=1) for name in self.names], 1).cpu()

    def of(self, index: int) -> LayerReadings:
        """Returns a member's readings."""
        return LayerReadings(self.names, tuple(self._of[index]))

    def grow(self, members: int) -> None:
        """Makes room for members that have joined, so many in all."""
        self._of += [[] for _ in range(members - len(self._of))]

    def keep(self, indices: Sequence[int]) -> None:
        """Keeps these members, in this order."""
        self._of = [self._of[i] for i in indices]

    def inherit(self, source: int, target: int) -> None:
        """Gives a member another's readings."""
        self._of[target] = list(self._of[source])


def _evenly(names: Sequence[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]
