"""A population is a tensor: models of one structure that train together.

All weights of all members are one matrix `[N, P]`, optimizer state likewise, and so halving is a
slice, cloning a gather, and the averages and best weights one `where`. How a step is computed is
the stepper's business (`fused`, `serial`); both read and write the state that is kept here.

Shape legend: `N` members, `P` weights of a model, `B` batch, `R` rows, `K` steps, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Examples
from pawl.kinds import KINDS
from pawl.models import Front, Layout, member_layers, predicts_several_times
from pawl.recipe import Recipe
from pawl.training.changing import recipe_at, steps_of_changes, steps_taken, steps_until
from pawl.training.features import Features
from pawl.training.fitting import FittedSplit, pool
from pawl.training.problem import Problem
from pawl.training.program import Program, stack_values
from pawl.training.state import (
    KNOWN,
    Buffers,
    EvaluationState,
    State,
    layer_keys,
)
from pawl.training.statistics import with_own_statistics
from pawl.training.stepper import Stepper


@dataclass(frozen=True, eq=False)
class Member:
    """A trial inside a population.

    Attributes:
        recipe: Techniques and settings.
        seed: Decides initial weights, the order of rows and all noise.
        train: Training rows, `[R]` int64.
        valid: Rows for curves and early stopping, `[R']` int64. None: it has no validation scores,
            and its recipe must not stop early. A population has them for all members or for none.
        epochs: Length of the whole trial in passes over the training rows; schedules span it.
    """

    recipe: Recipe
    seed: int
    train: Tensor
    valid: Tensor
    epochs: int


class Population:
    """Members of one structure, and the operations on them.

    Args:
        problem: The task's data, builder and loss.
        members: At least one; all of one structure.
        stepper: How steps are computed.

    Attributes:
        fits: What the data stage made of each member's training rows.
        examples: All rows that the members train on.
        step: Steps taken, `[N]`.
        total: Steps of the whole trial, `[N]`, which schedules span.
        ends: Steps after which training is over, `[N]`: all, or fewer where a schedule says so.
        steps_per_epoch: Batches per pass over a member's training rows, `[N]`.
        several: Whether a model returns several predictions of each row in training.
        drawing: Names of the layers that draw random numbers; see `MemberLayer`.
        shared: Frozen weights that all members have alike, by name; they are held once.
        features: What reaches the last layers, where these alone train: `body` is then the last layer.
        recipes: The members' recipes as they are at their steps, settings that change included.
        state: All that training changes.
    """

    state: State

    def __init__(self, problem: Problem, members: Sequence[Member], stepper: Stepper) -> None:
        self.problem = problem
        self.stepper = stepper
        self.program = Program.of(members[0].recipe)
        self.members: list[Member] = []
        self.recipes: list[Recipe] = []
        self.fits: list[FittedSplit] = []
        self.step = torch.zeros(0, dtype=torch.int64)
        self._orders: list[tuple[int, Tensor]] = []
        built = [problem.build(m.recipe, m.seed, m.train) for m in members]
        self.front, self.body, _ = built[0]
        self.layout = Layout.of(self.body)
        self.features = Features.of(problem.examples, self.program, built)
        self._blocks: list[tuple[int, int]] = []
        self._statistics: Buffers | None = None  # buffers of averaged weights since the last step
        layers = member_layers(self.body) if self.features is None else []
        self.drawing = tuple(name for name, layer in layers if layer.draws)
        self._settings = {f"{name}.{own}" for name, layer in layers for own in layer.settings}
        first, own = members[0], dict(self.body.named_buffers())
        self.shared: Buffers = {}
        if self.features is None:
            shared = problem.shared_weights(first.recipe, first.seed, first.train, self.body)
            self.shared = {name: own[name].detach().clone() for name in shared}
        self.several = predicts_several_times(self.body)
        self._append(members, built)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def device(self) -> torch.device:
        """Where the members train."""
        return self.problem.device

    def _append(
        self, members: Sequence[Member], built: Sequence[tuple[Front, nn.Module, FittedSplit]]
    ) -> None:
        if self.features is not None:
            built, blocks = self.features.taken(built)
            self._blocks += blocks
            if not self.members:
                self.front, self.body, _ = built[0]
        new = State.of(
            [(front, body) for front, body, _ in built],
            partial(self.program.init, layout=self.layout),
            self.shared,
            averaged=bool(self.program.average),
        )
        self.state = new if not self.members else self.state.join(new)
        self.members += members
        self.recipes += [member.recipe for member in members]
        self.fits += [fitted for _, _, fitted in built]
        if self.features is None:
            rows = pool(self.problem.examples, self.fits, max(self.stepper.width, len(self.fits)))
            self.examples, self._rows = rows.examples, rows.rows
        else:
            self.examples, self._rows = self.features.pooled(
                self.fits, self._blocks, self.stepper.width
            )
        self.step = torch.cat([self.step, torch.zeros(len(members), dtype=torch.int64)])
        self._orders += [(-1, torch.empty(0, dtype=torch.int64))] * len(members)
        self._refresh()
        fresh = range(len(self) - len(members), len(self))
        self._settle([i for i in fresh if 0 in self._changes[i]])

    def _refresh(self) -> None:
        fits = self.fits
        self.target_mean = torch.stack([fit.target_mean for fit in fits]).to(self.device)
        self.target_std = torch.stack([fit.target_std for fit in fits]).to(self.device)
        self.steps_per_epoch = torch.tensor([fit.steps_per_epoch for fit in fits])
        self.total = self.steps_per_epoch * torch.tensor([m.epochs for m in self.members])
        spans = [(m.recipe, t) for m, t in zip(self.members, self.total.tolist(), strict=True)]
        self.ends = torch.tensor([steps_taken(recipe, total) for recipe, total in spans])
        self.seed_key = torch.tensor(
            [rng.derive_seed("noise", m.seed) for m in self.members],
            dtype=torch.int32,
            device=self.device,
        )
        self._changes = [steps_of_changes(recipe, total) for recipe, total in spans]
        self.values = stack_values(self.program, self.recipes, self.device)
        self._statistics = None
        self.stepper.rebind(self)

    def _settle(self, which: Sequence[int]) -> None:
        """Takes the settings that hold at the steps of some members."""
        for i in which:
            member = self.members[i]
            self.recipes[i] = recipe_at(member.recipe, int(self.step[i]), int(self.total[i]))
            if self._settings:  # of layers: as they are in a body of that recipe
                _, body, _ = self.problem.build(self.recipes[i], member.seed, member.train)
                self.state.overwrite(i, body, self._settings)
        if which:
            self.values = stack_values(self.program, self.recipes, self.device)

    def whole(self, index: int) -> tuple[Front, nn.Module]:
        """Returns a member's front and model, also where only its last layer is computed in steps."""
        if self.features is None:
            return self.front, self.body
        return self.features.whole(self._blocks[index])

    def advance(self, steps: int) -> Tensor:
        """Takes steps with every member.

        Returns:
            Mean training loss of each member over these steps, `[N]`; not finite for those that
            diverged.
        """
        losses, left, self._statistics = torch.zeros(len(self)), steps, None
        while left:
            few = min(left, steps_until(self._changes, self.step.tolist(), left))
            places = [self.next_places(i, few) for i in range(len(self))]
            found = self.stepper.advance(self, self.batches_at(places))
            self.step += few
            losses = found if few == steps else losses.to(found) + found * (few / steps)
            left -= few
            self._settle([i for i, at in enumerate(self._changes) if int(self.step[i]) in at])
        return losses

    def rebatch(self, size: int) -> None:
        """Gives all members batches of so many rows, whatever their recipes say; before any step."""
        sizes = [min(size, len(fit.rows)) for fit in self.fits]
        self.fits = [
            replace(fit, batch_size=most, pieces=min(fit.pieces, most))
            for fit, most in zip(self.fits, sizes, strict=True)
        ]
        self._refresh()

    def watch(self, index: int, scores: Sequence[float]) -> None:
        """Shows a member's validation scores, larger is better, to the schedules that go by them."""
        recipe, pace = self.members[index].recipe, 1.0
        for call in self.program.schedule:
            if call.technique.watched is not None:
                pace *= call.technique.watched(scores, recipe.settings(call.name))
        self.state.pace[index] = pace

    def next_places(self, index: int, steps: int) -> Tensor:
        """Returns which of its rows a member's next steps take, `[K, B]`; its seed decides."""
        member, fit = self.members[index], self.fits[index]
        first, pieces = int(self.step[index]), []
        while steps:
            epoch, position = divmod(first, fit.steps_per_epoch)
            if self._orders[index][0] != epoch:
                order = rng.permutation(member.seed, epoch, len(fit.rows))
                self._orders[index] = (epoch, torch.from_numpy(order))
            count = min(steps, fit.steps_per_epoch - position)
            start = position * fit.batch_size
            pieces.append(self._orders[index][1][start : start + count * fit.batch_size])
            first, steps = first + count, steps - count
        return torch.cat(pieces).view(-1, fit.batch_size)

    def batches_at(self, places: Sequence[Tensor]) -> list[Buffers]:
        """Returns what the steppers get of each member's next batches, given places in its rows."""
        weighed = any(fit.weights is not None for fit in self.fits)
        found = []
        for fit, own, at in zip(self.fits, self._rows, places, strict=True):
            batch = {"rows": own[at]}
            if weighed:
                batch["weights"] = torch.ones(at.shape) if fit.weights is None else fit.weights[at]
            if fit.soft is not None:
                batch["soft"] = fit.soft[at]
            batch |= {f"{KNOWN}{name}": x[at] for name, x in fit.known.items()}
            if fit.offset is not None:
                batch["offset"] = fit.offset[at]
            found.append({name: tensor.to(self.device) for name, tensor in batch.items()})
        return found

    def step_keys(self, steps: int) -> Tensor:
        """Returns the random keys of the next steps, `[K, N]`."""
        ahead = self.step + torch.arange(steps).unsqueeze(1)
        return rng.fold(self.seed_key, ahead.to(device=self.device, dtype=torch.int32))

    @property
    def limits(self) -> tuple[Tensor, Tensor] | None:
        """Least and largest values that members predict, `[N, 1, *S]`; `None` for any."""
        found = [fit.limits for fit in self.fits if fit.limits is not None]
        if not found:
            return None
        low, high = (
            torch.stack(each).unsqueeze(1).to(self.device) for each in zip(*found, strict=True)
        )
        return low, high

    def set_layer_keys(self, key: Tensor) -> None:
        """Gives each layer that draws, of each member, its key for a step; `key` is `[N]`."""
        self.state.buffers.update(layer_keys(self.drawing, key))

    def evaluated(self) -> tuple[Tensor, Buffers]:
        """Returns the weights and buffers that evaluations use: averages where there are any.

        Averaged weights have statistics of batch normalization of their own; see `statistics`.
        """
        if name := self.program.update.technique.evaluated:
            return self.state.slots[name], self.state.buffers
        if self.state.average is None:
            return self.state.weights, self.state.buffers
        if self._statistics is None:
            buffers = self.state.average_buffers
            self._statistics = with_own_statistics(self, self.state.average, buffers)
        return self.state.average, self._statistics

    def predict(
        self,
        examples: Examples,
        rows: Tensor,
        state: tuple[Tensor, Buffers] | None = None,
        members: Sequence[int] | None = None,
    ) -> Tensor:
        """Returns predictions for rows `[N, R]`, or `[R]` for all members alike.

        Args:
            examples: The rows' tensors, on the members' device.
            rows: Indices into `examples`.
            state: Weights and buffers of all members to use in place of the present ones.
            members: Which members predict; all by default.

        Returns:
            `[N, R, *P]` (`pawl.kinds`), values in the target's units.
        """
        weights, buffers = state or self.evaluated()
        kept = EvaluationState(weights, buffers, self.state.front)
        if self.features is not None:
            chosen = self._blocks if members is None else [self._blocks[i] for i in members]
            examples, rows = self.features.placed(examples, rows, chosen)
        mean, std, limits = self.target_mean, self.target_std, self.limits
        count = len(self)
        if members is not None and list(members) != list(range(count)):
            count = len(members)
            index = torch.tensor(list(members), device=self.device)
            kept = EvaluationState(
                weights[index],
                {k: v[index] for k, v in buffers.items()},
                {k: v[index] for k, v in kept.front.items()},
            )
            mean, std = mean[index], std[index]
            limits = None if limits is None else (limits[0][index], limits[1][index])
        per_row = sum(math.prod(x.shape[1:]) for x in examples.inputs.values())
        schema, kind = self.problem.schema, KINDS[self.problem.schema.kind]
        given = math.prod(kind.prediction_shape(schema.num_outputs, schema.places))
        size = self.stepper.chunk(count, max(per_row, given))
        with torch.no_grad():
            parts = [
                self.stepper.forward(self, examples, chunk.to(self.device), kept)
                for chunk in torch.split(rows, size, dim=-1)
            ]
        found = kind.predictions(torch.cat(parts, dim=1))
        if not kind.scaled:
            return found
        found = found * std.unsqueeze(1) + mean.unsqueeze(1)
        return found if limits is None else found.clamp(*limits)

    def keep(self, indices: Sequence[int]) -> None:
        """Keeps these members, in this order."""
        index = torch.tensor(list(indices), dtype=torch.int64)
        self.state = self.state.take(index.to(self.device))
        self.members = [self.members[i] for i in indices]
        self.recipes = [self.recipes[i] for i in indices]
        self.fits = [self.fits[i] for i in indices]
        self._rows = [self._rows[i] for i in indices]
        self._blocks = [self._blocks[i] for i in indices if self._blocks]
        self._orders = [self._orders[i] for i in indices]
        self.step = self.step[index]
        if self.members:
            self._refresh()

    def admit(self, members: Sequence[Member]) -> None:
        """Adds fresh members of the same structure."""
        built = [self.problem.build(m.recipe, m.seed, m.train) for m in members]
        self._append(members, built)

    def clone(self, source: int, target: int) -> None:
        """Overwrites a member's weights, buffers and optimizer state by another's."""
        state = self.state
        matrices = [state.weights, state.pace, *state.slots.values()]
        matrices += [] if state.average is None else [state.average]
        for buffers in (state.buffers, state.average_buffers):
            matrices += [x for name, x in buffers.items() if name not in self._settings]
        for tensor in matrices:
            tensor[target] = tensor[source]
        self.step[target] = self.step[source]
        self._statistics = None

    def inherit(self, source: int, target: int, recipe: Recipe) -> None:
        """Makes a member a copy of another, which goes on by a recipe of the same structure.

        Its seed stays its own.
        """
        self.clone(source, target)
        for tensor in self.state.front.values():
            tensor[target] = tensor[source]
        for name in self._settings:
            self.state.buffers[name][target] = self.state.buffers[name][source]
        self.members[target] = replace(self.members[target], recipe=recipe)
        self.fits[target], self._rows[target] = self.fits[source], self._rows[source]
        if self._blocks:
            self._blocks[target] = self._blocks[source]
        self._orders[target] = (-1, torch.empty(0, dtype=torch.int64))
        self._refresh()
        self._settle([target])

    def snapshot(self) -> tuple[State, Tensor]:
        """Returns a copy of all that changes in training."""
        return self.state.take(torch.arange(len(self), device=self.device)), self.step.clone()

    def restore(self, snapshot: tuple[State, Tensor]) -> None:
        """Goes back to a snapshot of the same members."""
        state, step = snapshot
        self.state = state.take(torch.arange(len(self), device=self.device))
        self.step = step.clone()
        self._statistics = None
        self._settle([i for i, changes in enumerate(self._changes) if changes])
        self.stepper.rebind(self)
