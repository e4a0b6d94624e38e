"""The serial stepper: one member after the other, as plain PyTorch would train it.

The module's parameters are views into the population's weight matrix and the optimizer is the
`torch.optim` class that the update technique names, so this is also what the fused stepper is
checked against.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pawl.data.types import Examples
from pawl.models import outputs, predictions
from pawl.techniques import Batch
from pawl.training.fused import average, averaging_due, scaled_targets
from pawl.training.population import Buffers, Kept, Population
from pawl.training.program import Namespace, select_values


class SerialStepper:
    """Computes one member's steps, then the next's."""

    name = "serial"

    def rebind(self, population: Population) -> None:
        """Nothing is kept between calls."""

    def chunk(self, members: int, values: int) -> int:
        """Returns how many rows of `values` numbers each are best predicted at once."""
        return max(64, min(4096, 1_000_000 // values))

    def advance(self, population: Population, rows: Tensor) -> Tensor:
        """Takes one step per batch of `rows` `[N, K, B]`; returns mean losses `[N]`."""
        return torch.stack(
            [self._advance_one(population, i, rows[i : i + 1]) for i in range(len(population))]
        )

    def _advance_one(self, population: Population, index: int, rows: Tensor) -> Tensor:
        problem, program, state = population.problem, population.program, population.state
        body, one = population.body, slice(index, index + 1)
        values = select_values(population.values, one)
        scalars = select_values(population.values, index)
        term = program.loss_term(problem.base_loss(), scalars)
        weights = state.weights[index]
        gradient = torch.zeros_like(weights)
        _bind(body, population, weights, {k: v[index] for k, v in state.buffers.items()}, gradient)
        _bind(population.front, population, None, {k: v[index] for k, v in state.front.items()})
        parameters = dict(body.named_parameters())
        optimizer = self._optimizer(population, index, weights)
        steps = rows.shape[1]
        taken = population.step[one].to(population.device, torch.float32)
        ahead = taken + torch.arange(steps, device=rows.device).unsqueeze(1)
        total = population.total[one].to(population.device, torch.float32)
        rates = program.rates(values, ahead, total).flatten().tolist()
        total_loss = torch.zeros((), device=population.device)
        torch.manual_seed(int(population.seed_key[index]) + int(population.step[index]))
        body.train()
        schema, convert = problem.schema, problem.loss is None
        for k in range(steps):
            batch = self._batch(population, one, rows[:, k], k, values)
            inputs = {name: x[0] for name, x in batch.inputs.items()}
            raw = body(inputs)
            out = outputs(raw, schema.kind, schema.num_outputs) if convert else raw
            loss = term(out, batch.targets[0], parameters)
            if batch.partners is not None and batch.share is not None:
                other = term(out, batch.partners[0], parameters)
                loss = batch.share[0] * loss + (1.0 - batch.share[0]) * other
            gradient.zero_()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                total_loss += loss.detach()
                flat = gradient.unsqueeze(0)
                for call in program.gradient:
                    settings = Namespace(values[call.name])
                    flat = call.technique.apply(flat, weights.unsqueeze(0), settings)
                optimizer.param_groups[0]["params"][0].grad = flat[0]
                optimizer.param_groups[0]["lr"] = rates[k]
                optimizer.step()
                step = population.step[one] + k + 1
                if program.average and bool(averaging_due(step, population.total[one])):
                    average(population, one, ahead[k] + 1.0)
        return total_loss / steps

    def _batch(
        self,
        population: Population,
        one: slice,
        rows: Tensor,
        offset: int,
        values: dict[str, dict[str, object]],
    ) -> Batch:
        with torch.no_grad():
            inputs = {n: x[rows[0]] for n, x in population.problem.examples.inputs.items()}
            inputs = {n: x.unsqueeze(0) for n, x in population.front(inputs).items()}
            targets = population.problem.targets[rows]
            mean, std = population.target_mean[one], population.target_std[one]
            batch = Batch(inputs, scaled_targets(targets, mean, std))
            key = population.step_keys(offset)
            if population.dropouts:
                population.set_dropout_keys(key)
                for name in population.dropouts:
                    layer = population.body.get_submodule(name)
                    layer.key = population.state.buffers[f"{name}.key"][one][0]
            return population.program.transform(batch, values, key[one])

    def _optimizer(
        self, population: Population, index: int, weights: Tensor
    ) -> torch.optim.Optimizer:
        """Returns the reference optimizer over the flat weights, its state views into `slots`."""
        update = population.program.update
        make = update.technique.reference_optimizer
        assert make is not None
        leaf = nn.Parameter(weights, requires_grad=False)
        optimizer = make([leaf], population.members[index].recipe.settings(update.name))
        slots = population.state.slots
        if slots:
            optimizer.state[leaf] = {
                "step": torch.tensor(float(population.step[index])),
                **{name: slots[name][index] for name in update.technique.slots},
            }
        return optimizer

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: Kept
    ) -> Tensor:
        """Returns predictions `[N, R, C]` or `[N, R]` for rows `[N, R]` or `[R]`."""
        schema, results = population.problem.schema, []
        population.body.eval()
        for i in range(len(kept.weights)):
            buffers = {k: v[i] for k, v in kept.buffers.items()}
            _bind(population.body, population, kept.weights[i], buffers)
            _bind(population.front, population, None, {k: v[i] for k, v in kept.front.items()})
            chosen = rows if rows.dim() == 1 else rows[i]
            inputs = {name: x[chosen] for name, x in examples.inputs.items()}
            raw = population.body(population.front(inputs))
            mean, std = kept.target_mean[i], kept.target_std[i]
            results.append(predictions(raw, schema.kind, schema.num_outputs, mean, std))
        return torch.stack(results)


def _bind(
    module: nn.Module,
    population: Population,
    weights: Tensor | None,
    buffers: Buffers,
    gradient: Tensor | None = None,
) -> None:
    """Makes a module's parameters and buffers views of one member's state."""
    if weights is not None:
        grads = population.layout.views(gradient) if gradient is not None else {}
        views = population.layout.views(weights)
        for name, parameter in module.named_parameters():
            parameter.data = views[name]
            parameter.grad = grads.get(name)
    for name, buffer in buffers.items():
        parent, _, attribute = name.rpartition(".")
        module.get_submodule(parent)._buffers[attribute] = buffer
