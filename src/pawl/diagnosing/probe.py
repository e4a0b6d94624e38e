"""The instruments: one reading of a member of a population, on copies of its model and weights.

Nothing of a step is changed, whatever computes it: a reading runs a few rows forward and backward
through a copy, between two steps.

Shape legend: `N` members, `P` weights, `R` rows, `B` rows of a chunk, `M` chunks.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.diagnosing.curvature import POWER_STEPS, sharpest
from pawl.diagnosing.gains import gain_of
from pawl.diagnosing.record import Reading, Scale, UnitReading, WeightReading
from pawl.diagnosing.units import called_functions, unit_readings
from pawl.kinds import KINDS
from pawl.models import outputs
from pawl.models.held import gathering
from pawl.models.operations import traced
from pawl.techniques import Targets
from pawl.training.metrics import score
from pawl.training.population import Population
from pawl.training.state import Buffers
from pawl.training.steps import batch_loss, scaled_targets

_CHUNKS, _FEWEST_CHUNK_ROWS, _CHUNK_ROWS = 4, 32, 128
_MOST_ROWS = 512
_TRACED_VALUES = 1 << 25
_FEW_ROWS = 4
_CURVATURE_EVERY = 4


@dataclass(frozen=True)
class _Rows:
    """Rows of readings as the model takes them; their targets raw, and as the loss takes them."""

    inputs: Inputs
    raw: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.raw)

    def part(self, start: int, stop: int) -> _Rows:
        inputs = {name: x[start:stop] for name, x in self.inputs.items()}
        return _Rows(inputs, self.raw[start:stop], self.targets[start:stop])


class Probe:
    """Reads a member's state.

    Args:
        population: Whose; its members must stay as many as they are.
        index: The member's place.
    """

    def __init__(self, population: Population, index: int = 0) -> None:
        self.population, self.index = population, index
        self._front, self._body = copy.deepcopy(population.whole(index))
        member, fit = population.members[index], population.fits[index]
        size = min(_CHUNK_ROWS, max(_FEWEST_CHUNK_ROWS, fit.batch_size))
        size = max(1, min(size, len(member.train) // 2))
        self._size, chunks = size, max(1, min(_CHUNKS, len(member.train) // size))
        most = max(size * chunks, min(_MOST_ROWS, len(member.train)))
        self._load(population.state.weights, population.state.buffers)
        self._train = self._rows(member.train, most)
        self._valid = self._rows(member.valid, _MOST_ROWS) if len(member.valid) else None
        self._chunks = [self._train.part(i * size, (i + 1) * size) for i in range(chunks)]
        self._start = self._flat().clone()
        few = self._train.part(0, min(_FEW_ROWS, len(self._train))).inputs
        self._functional = called_functions(self._body, lambda module: module(few))
        self._traced_rows = self._affordable()
        self._taken, self._apart = 0, True
        self._steepest: Tensor | None = None

    @property
    def constant_loss(self) -> float:
        """The loss of the best constant prediction; NaN where the loss is the user's."""
        population = self.population
        schema, kind = population.problem.schema, KINDS[population.problem.schema.kind]
        one = kind.constant(self._train.raw.cpu(), schema.num_outputs).to(self._train.raw.device)
        if not kind.has_classes:
            std, mean = population.target_std[self.index], population.target_mean[self.index]
            return self._loss_of((one - mean) / std)
        if kind.exclusive or kind.has_places:
            return self._loss_of(one.clamp_min(1e-12).log())
        return self._loss_of(one.clamp(1e-6, 1 - 1e-6).logit())

    @property
    def zero_loss(self) -> float:
        """The loss where all outputs are zero; NaN where the loss is the user's."""
        schema = self.population.problem.schema
        kind = KINDS[schema.kind]
        one = kind.constant(self._train.raw.cpu(), schema.num_outputs)
        return self._loss_of(torch.zeros_like(one).to(self._train.raw.device))

    def _loss_of(self, one: Tensor) -> float:
        """Returns the loss of outputs that are the same for every row."""
        problem = self.population.problem
        if problem.loss is not None:
            return math.nan
        out = one.expand(len(self._train), *one.shape)
        try:
            return float(KINDS[problem.schema.kind].loss(out, self._train.targets).mean())
        except (RuntimeError, ValueError, IndexError):  # places have shapes of their own
            return math.nan

    def scales(self) -> tuple[Scale, ...]:
        """Returns how large the inputs of numbers are where they reach the network."""
        found = []
        for name, x in self._train.inputs.items():
            if not x.is_floating_point() or x.dim() < 2 or not x.numel():
                continue
            # A vector's last axis are columns; of maps the first one behind the rows are channels.
            axis = 1 if x.dim() == 4 else -1
            std = x.movedim(axis, 0).flatten(1).std(1, correction=0)
            std = std[std > 0]
            apart = float(std.max() / std.min()) if len(std) else 1.0
            found.append(Scale(name=name, size=float(x.square().mean().sqrt()), apart=apart))
        return tuple(found)

    def losses(self) -> tuple[float, float]:
        """Returns losses on training and validation rows, as the model is evaluated."""
        self._load(*self.population.evaluated())
        return self._evaluated(self._train)[0], self._evaluated(self._valid)[0]

    def row_losses(self, weights: Tensor, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Returns losses of the training and of the validation rows at `[N, P]`, evaluated, `[R]` each.

        NaN where the task's loss is one of a whole batch.
        """
        self._load(weights, buffers)
        train, valid = (
            torch.zeros(0, dtype=torch.float64) if x is None else self._predicted(x)[0]
            for x in (self._train, self._valid)
        )
        return self._known(train), self._known(valid)

    def _known(self, losses: Tensor) -> Tensor:
        return losses if self._apart else torch.full_like(losses, math.nan)

    def normalized(self) -> int | None:
        """Returns how many values the layer of batch normalization with the fewest has in a step."""
        layers, fit = gathering(self._body), self.population.fits[self.index]
        few, seen = self._train.part(0, min(_FEW_ROWS, len(self._train))), list[float]()
        handles = [
            layer.register_forward_hook(
                lambda _, __, found: seen.append(found[:, 0].numel() / len(few))
            )
            for layer in layers
        ]
        try:
            with torch.no_grad():
                self._body.eval()(few.inputs)
        finally:
            for handle in handles:
                handle.remove()
        return int(min(seen) * (fit.batch_size // fit.pieces)) if seen else None

    def loss_at(self, weights: Tensor) -> float:
        """Returns the mean loss of the readings' chunks at weights `[P]`, as the model trains."""
        self._load(weights.unsqueeze(0).expand(self.index + 1, -1), self.population.state.buffers)
        with torch.no_grad():
            losses = [float(self._loss(chunk, training=True)[0]) for chunk in self._chunks]
        return sum(losses) / len(losses)

    def read(self) -> Reading:
        """Returns a reading; `moved` of all weights is 0, as it takes steps to know it."""
        population, at = self.population, self.index
        self._load(*population.evaluated())
        train_loss, train_score, _ = self._evaluated(self._train)
        valid_loss, valid_score, valid_error = self._evaluated(self._valid)
        units = self.units()
        self._load(population.state.weights, population.state.buffers)
        gradients, batch_loss_ = self._gradients()
        mean = gradients.mean(0)
        noise, signal = _noise_scale(gradients, self._size)
        step, total = (
            x.to(torch.float32)[at : at + 1] for x in (population.step, population.total)
        )
        rates = population.program.rates(
            {
                name: {k: v[at : at + 1] if isinstance(v, Tensor) else v for k, v in own.items()}
                for name, own in population.values.items()
            },
            step.to(population.device),
            total.to(population.device),
        )
        flat = self._flat()
        sharpness = self._sharpness(flat) if self._taken % _CURVATURE_EVERY == 0 else math.nan
        self._taken += 1
        return Reading(
            step=int(population.step[at]),
            rate=float(rates),
            train_loss=train_loss,
            valid_loss=valid_loss,
            train_score=train_score,
            valid_score=valid_score,
            valid_error=valid_error,
            batch_loss=batch_loss_,
            noise=noise,
            signal=signal,
            non_finite=int((~flat.isfinite()).sum() + (~mean.isfinite()).sum()),
            weights=self._weights(flat, mean),
            units=units,
            sharpness=sharpness,
        )

    def moved(self, before: Tensor, steps: int) -> list[float]:
        """Returns how far each tensor has moved per step, over its norm, since `before` (`[P]`)."""
        views = self.population.layout.views
        now = self.population.state.weights[self.index]
        changes, olds = views(now - before), views(before)
        return [_over(x.norm(), olds[name].norm()) / steps for name, x in changes.items()]

    def _load(self, weights: Tensor, buffers: Buffers) -> None:
        """Copies the member's state into the copies of front and body."""
        state, at = self.population.state, self.index
        views = self.population.layout.views(weights[at])
        with torch.no_grad():
            for name, parameter in self._body.named_parameters():
                parameter.copy_(views[name])
            for name, buffer in self._body.named_buffers():
                if name in buffers:
                    buffer.copy_(buffers[name][at])
            for name, buffer in self._front.named_buffers():
                if name in state.front:
                    buffer.copy_(state.front[name][at])

    def _flat(self) -> Tensor:
        pieces = [p.detach().flatten() for p in self._body.parameters()]
        return torch.cat(pieces) if pieces else torch.zeros(0)

    def _rows(self, rows: Tensor, most: int) -> _Rows:
        """Returns some of these rows, drawn once, as front and loss make them."""
        population, at = self.population, self.index
        generator = torch.Generator().manual_seed(0)
        chosen = rows[torch.randperm(len(rows), generator=generator)[:most]].to(population.device)
        taken = population.problem.examples.take(chosen)
        raw = taken.known_targets
        mean, std = (x[at : at + 1] for x in (population.target_mean, population.target_std))
        with torch.no_grad():
            inputs = self._front(taken.inputs)
        return _Rows(inputs, raw, scaled_targets(raw.unsqueeze(0), mean, std)[0])

    def _loss(self, rows: _Rows, *, training: bool) -> tuple[Tensor, Tensor]:
        """Returns the loss of rows, and what the model returned."""
        population, problem = self.population, self.population.problem
        raw = self._body.train(training)(rows.inputs)
        loss = batch_loss(
            problem, problem.base_loss(), raw, Targets.of({"values": rows.targets}),
            dict(self._body.named_parameters()), several=population.several and training,
        )  # fmt: skip
        return loss, raw

    def _evaluated(self, rows: _Rows | None) -> tuple[float, float, float]:
        """Returns loss, metric, and the loss's standard error over rows, in evaluation mode."""
        if rows is None:
            return math.nan, math.nan, math.nan
        losses, predictions = self._predicted(rows)
        value = score(self.population.problem.objective, predictions[None], rows.raw[None])
        return float(losses.mean()), float(value), gain_of(self._known(losses)).error

    @torch.no_grad()
    def _predicted(self, rows: _Rows) -> tuple[Tensor, Tensor]:
        """Returns losses `[R]` and predictions of rows, in evaluation mode."""
        population, problem, at = self.population, self.population.problem, self.index
        kind, losses, found = KINDS[problem.schema.kind], [], []
        own, term = problem.loss is not None, problem.base_loss()
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = rows.part(start, start + _CHUNK_ROWS)
            raw = self._body.eval()(part.inputs)
            out = outputs(raw, kind, problem.schema.num_outputs)
            loss = term(
                raw if own else out,
                Targets.of({"values": part.targets}),
                dict(self._body.named_parameters()),
            )
            self._apart &= loss.dim() > 0 and len(loss) == len(part)
            each = loss.flatten(1).mean(1) if loss.dim() > 1 else loss
            losses.append(each if self._apart else loss.mean().expand(len(part)))
            found.append(kind.predictions(out))
        predictions = torch.cat(found)
        if kind.scaled:
            predictions = predictions * population.target_std[at] + population.target_mean[at]
        return torch.cat(losses).double().cpu(), predictions

    def _gradients(self) -> tuple[Tensor, float]:
        """Returns gradients of chunks, `[M, P]` float64, in training mode; and their mean loss."""
        parameters, each, losses = list(self._body.parameters()), [], []
        for chunk in self._chunks:
            with torch.enable_grad():
                loss, _ = self._loss(chunk, training=True)
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            pieces = [
                (torch.zeros_like(p) if g is None else g).flatten()
                for p, g in zip(parameters, found, strict=True)
            ]
            each.append(torch.cat(pieces).double())
            losses.append(float(loss.detach()))
        return torch.stack(each), sum(losses) / len(losses)

    def _sharpness(self, flat: Tensor) -> float:
        """Returns the largest curvature of the loss of a chunk, as the model is evaluated."""
        parameters = list(self._body.parameters())
        if not len(flat):
            return math.nan

        def gradient(weights: Tensor) -> Tensor:
            views = self.population.layout.views(weights)
            with torch.no_grad():
                for name, parameter in self._body.named_parameters():
                    parameter.copy_(views[name])
            with torch.enable_grad():
                loss, _ = self._loss(self._chunks[0], training=False)
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            return torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(parameters, found, strict=True)
                ]
            )

        try:
            value, self._steepest = sharpest(gradient, flat, self._steepest, POWER_STEPS)
        except RuntimeError:  # some layers on a GPU have no gradients as they are evaluated
            value = math.nan
        with torch.no_grad():
            for name, parameter in self._body.named_parameters():
                parameter.copy_(self.population.layout.views(flat)[name])
        return value

    def _weights(self, flat: Tensor, gradient: Tensor) -> tuple[WeightReading, ...]:
        views = self.population.layout.views
        now, slopes, starts = views(flat), views(gradient), views(self._start)
        return tuple(
            WeightReading(
                name=name,
                axes=x.dim(),
                norm=float(x.norm()),
                gradient=float(slopes[name].norm()),
                moved=0.0,
                distance=_over((x - starts[name]).norm(), starts[name].norm()),
            )
            for name, x in now.items()
        )

    def _affordable(self) -> int:
        """Returns how many rows may be traced at once: what all operations return is kept."""
        few = self._train.part(0, min(_FEW_ROWS, len(self._train)))
        trace, _ = traced(self._body, lambda module: module(few.inputs))
        per_row = sum(math.prod(shape) for shape in trace.shapes) / len(few)
        return int(max(_FEW_ROWS, min(_MOST_ROWS, _TRACED_VALUES / max(1.0, per_row))))

    def units(self) -> tuple[UnitReading, ...]:
        """Returns what activations return on some training rows, by the weights that were read last."""
        part = self._train.part(0, self._traced_rows)
        return unit_readings(self._body, self._functional, lambda module: module(part.inputs))


def _noise_scale(gradients: Tensor, size: int) -> tuple[float, float]:
    """Returns `S` and `|G|^2` of gradients of chunks `[M, P]` of `size` rows each.

    Both are unbiased: McCandlish et al., An Empirical Model of Large-Batch Training, 2018, appendix A.
    """
    count = len(gradients)
    if count < 2:
        return math.nan, math.nan
    small = float(gradients.square().sum(1).mean())
    large = float(gradients.mean(0).square().sum())
    signal = (count * large - small) / (count - 1)
    noise = (small - large) / (1 / size - 1 / (count * size))
    return noise, signal


def _over(change: Tensor, size: Tensor) -> float:
    return float(change) / max(float(size), 1e-12)


__all__ = ["Probe"]
