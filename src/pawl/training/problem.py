"""What every trial of a task shares: resident rows, the model's builder, loss and objective."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from pawl.data import Blocks
from pawl.data.types import Examples, Inputs, LoadedData, ModelSpec, Schema
from pawl.kinds import KINDS
from pawl.modalities import Modality, modality_of
from pawl.models import (
    Adapter,
    Builder,
    Calls,
    Front,
    Memory,
    ModelBuilder,
    Net,
    Started,
    frozen,
    known_codes,
    revealed,
)
from pawl.recipe import Recipe
from pawl.task import LossFunction, Objective, Task
from pawl.techniques import DataTechnique, Facts, LossTerm, ModelTechnique, Targets
from pawl.training.checks import (
    check_codes,
    check_empty_rows,
    check_metric_works,
    check_model,
)
from pawl.training.fitting import FittedSplit, fit_split
from pawl.training.metrics import make_objective
from pawl.transfer import alike, begin

_SAMPLE_ROWS = 4
CHECKED_ROWS = 32
"""Rows that a task is tried on at the start."""


@dataclass(frozen=True)
class Problem:
    """A task, ready to be trained on.

    Attributes:
        schema: The data's schema.
        examples: Development rows, on the device.
        objective: What to improve.
        builder: Builds the model before any technique.
        loss: The user's loss, or `None`.
        own_model: Whether the model is the user's, or their modality's, and not one that pawl builds.
        came_with_weights: Whether a network of their modality's comes with weights that no seed draws;
            of a model of theirs `builder` tells.
        soft: A teacher's labels of all development rows, to learn in place of the targets; see `Split`.
        notes: What a reader should know of the weights that models start from.
        start: What a bundle keeps of that; see `pawl.transfer.Begun`.
        codes: How many codes a model of the user's knows, by inputs that it looks up.
        compiled_steps: Steps that were compiled, by the stepper's key.
    """

    schema: Schema
    examples: Examples
    objective: Objective
    builder: Builder
    loss: LossFunction | None = None
    own_model: bool = False
    came_with_weights: bool = False
    soft: Tensor | None = None
    notes: tuple[str, ...] = ()
    start: dict[str, Any] | None = None
    codes: dict[str, int] = field(default_factory=dict)
    compiled_steps: dict[object, Any] = field(default_factory=dict, repr=False)
    _fits: dict[tuple[str, bytes], FittedSplit] = field(default_factory=dict, repr=False)
    _shared: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _calls: list[Calls] = field(default_factory=list, repr=False)
    _memory: Memory = field(default_factory=Memory, repr=False)

    @classmethod
    def of(cls, task: Task, data: LoadedData, device: torch.device | str = "cpu") -> Problem:
        """Returns the problem of a task whose data is loaded.

        Raises:
            TaskError: The metric, the loss or the model does not fit the data.
        """
        # Not above: it trains, by what knows problems.
        from pawl.training.trying import check_step  # noqa: PLC0415

        modality = modality_of(data.schema)
        objective = make_objective(task.metric, task.direction, data.schema.kind)
        builder = ModelBuilder(
            data.schema, task.model, modality.net, one_vector=modality.one_vector
        )
        objective = check_metric_works(objective, data.schema, data.test)
        examples = data.development.to(device)
        begun = begin(task, builder, data.schema, looked_at(data.schema, examples))
        # A model of the user's, which may take long to build, was looked at by `begin`.
        net = begun.builder(0) if task.model is None else None
        own_model = net is None or not isinstance(net, Net)
        problem = cls(
            schema=data.schema,
            examples=examples,
            objective=objective,
            builder=begun.builder,
            loss=task.loss,
            own_model=own_model,
            came_with_weights=net is not None and own_model and alike(net, begun.builder(1)),
            notes=begun.notes,
            start=begun.record,
            codes=_known_codes(task, begun.builder, data),
        )
        if task.model is not None:
            _check_empty_rows(begun.builder, data)
        problem.check()
        check_step(problem)
        return problem

    def __getstate__(self) -> dict[str, Any]:
        """Returns what travels to other processes: not what each computes anew when it needs it."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return kept | {
            "compiled_steps": {},
            "_fits": {},
            "_shared": {},
            "_calls": [],
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def kept(self) -> dict[str, Any]:
        """What a bundle keeps of what models start from and know, JSON-ready; may be empty."""
        start = {} if self.start is None else {"start": self.start}
        return start | ({"codes": self.codes} if self.codes else {})

    @property
    def spec(self) -> ModelSpec:
        """Sizes of inputs and outputs."""
        return ModelSpec(self.schema.inputs, self.schema.num_outputs, self.schema.kind)

    @property
    def modality(self) -> Modality:
        """What the inputs are."""
        return modality_of(self.schema)

    @property
    def device(self) -> torch.device:
        """Where the rows live and the models train."""
        return next(iter(self.examples.inputs.values())).device

    @property
    def targets(self) -> Tensor:
        """Development targets, `[R, *S]`."""
        assert self.examples.targets is not None
        return self.examples.targets

    @property
    def blocks(self) -> Blocks | None:
        """Which development rows belong together, or come later, if that was said."""
        return self.examples.blocks

    @functools.cached_property
    def units(self) -> Tensor | None:
        """What varies on its own among the development rows, `[R]`; `None` if each row does."""
        return None if self.blocks is None else self.blocks.units

    def fit(self, recipe: Recipe, rows: Tensor, seed: int) -> FittedSplit:
        """Runs the data stage on these training rows; results are kept for equal questions."""
        stage = recipe.of_stage(DataTechnique)
        seed = seed if any(t.draws for t, _ in stage) else 0
        asked = [(t.name, settings) for t, settings in stage], seed
        key = repr(asked), hashlib.sha256(rows.cpu().numpy().tobytes()).digest()
        if key not in self._fits:
            if len(self._fits) > 256:
                self._fits.clear()
            self._fits[key] = fit_split(
                self.schema, self.examples, recipe, rows, seed, own_loss=self.loss is not None,
                soft=self.soft,
            )  # fmt: skip
        return self._fits[key]

    def build(
        self, recipe: Recipe, seed: int, rows: Tensor
    ) -> tuple[Front, nn.Module, FittedSplit]:
        """Returns front, body and fitted split of one trial, on the device.

        The body has its first weights; of a learner, it has learned nothing yet.
        """
        fitted = self.fit(recipe, rows, seed)
        # Copied: the serial stepper puts each member's buffers into its population's front.
        front = Front(copy.deepcopy(fitted.layers)).to(self.device)
        if learner := recipe.learner:
            spec = replace(self.spec, inputs=(*self.schema.inputs, *fitted.more))
            module = learner.module(spec, recipe.settings(learner.name))
            return front, module.to(self.device), fitted
        stage = recipe.of_stage(ModelTechnique)
        builder, unlearned = self._builder(fitted), any(t.unlearned for t, _ in stage)
        if unlearned and isinstance(builder, Started):
            builder = builder.unlearned
        body = builder(seed)
        if stage:
            with torch.no_grad():
                seen = fitted.take(self.examples, self._sample(fitted.rows))
                sample = _to_cpu(front(seen.inputs))
            self._tell(body, loaded=not unlearned)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                for technique, settings in stage:
                    body = technique.apply(revealed(body, sample, self._calls), settings, sample)
                body = revealed(body, sample, self._calls)
        return front, body.to(self.device), fitted

    def _builder(self, fitted: FittedSplit) -> Builder:
        """Returns what builds models that take what the split's layers compute as well."""
        if not fitted.more:
            return self.builder
        assert isinstance(self.builder, ModelBuilder)
        inputs = (*self.schema.inputs, *fitted.more)
        return replace(self.builder, schema=self.schema.model_copy(update={"inputs": inputs}))

    @property
    def pretrained(self) -> bool:
        """Whether weights of a model of the user's are the same for every seed."""
        return self.came_with_weights or isinstance(self.builder, Started)

    def _tell(self, body: nn.Module, *, loaded: bool = True) -> nn.Module:
        """Lets a module know what is known of it; one of the user's whether it came with weights, too.

        With `loaded`, those beside it.
        """
        beside = isinstance(self.builder, Started) and bool(self.builder.tensors)
        for each in body.modules():
            if isinstance(each, Adapter):
                each.pretrained = self.pretrained and (loaded or not beside)
            if isinstance(each, Adapter | Net):
                each.memory = self._memory
        return body

    def shared_weights(
        self, recipe: Recipe, seed: int, rows: Tensor, body: nn.Module
    ) -> tuple[str, ...]:
        """Returns the names of frozen weights that no seed changes, as those of a pretrained body.

        Args:
            recipe: Any of a structure.
            seed: What `body` was built with. Another is built beside it, once for each structure.
            rows: Alike.
            body: As `build` returned it.
        """
        mine, structure = frozen(body), recipe.structure
        if not mine:
            return ()
        if structure not in self._shared:
            _, other, _ = self.build(recipe, seed + 1, rows)
            theirs = frozen(other)
            self._shared[structure] = tuple(
                name for name, x in mine.items() if name in theirs and torch.equal(x, theirs[name])
            )
        return self._shared[structure]

    def _sample(self, rows: Tensor) -> Tensor:
        """Returns training rows for model techniques to look at, evenly spread."""
        count = min(len(rows), self.modality.sample_rows)
        return rows[torch.linspace(0, len(rows) - 1, count, device=rows.device).long()]

    def facts(self) -> Facts:
        """Returns what techniques may know of the task."""
        sample = looked_at(self.schema, self.examples, _SAMPLE_ROWS)
        return Facts(
            schema=self.schema,
            own_model=self.own_model,
            own_loss=self.loss is not None,
            module=revealed(self._tell(self.builder(0)), sample, self._calls),
            sample=sample,
            num_rows=len(self.examples),
            pretrained=self.pretrained,
        )

    def check(self) -> None:
        """Runs a few rows through model and loss, so that a wrong one is named at the start.

        Raises:
            TaskError: The model or the loss raised, or its output has the wrong shape.
        """
        sample = looked_at(self.schema, self.examples, CHECKED_ROWS)
        targets = self.targets[:CHECKED_ROWS].cpu()
        check_model(self.builder, self.schema, sample, targets, self.loss)

    def base_loss(self) -> LossTerm:
        """Returns one member's loss before any technique: user's, or by the kind."""
        kind, own = KINDS[self.schema.kind], self.loss

        def user(raw: Any, targets: Targets, _: Mapping[str, Tensor]) -> Tensor:
            assert own is not None
            return own(raw, targets.values)

        def built_in(out: Tensor, targets: Targets, _: Mapping[str, Tensor]) -> Tensor:
            return kind.loss(out, targets.values, targets.soft)

        return user if own is not None else built_in


def _known_codes(task: Task, builder: Builder, data: LoadedData) -> dict[str, int]:
    """Returns how many codes a model of the user's knows, by input; refuses rows with others."""
    if task.model is None or all(spec.dtype != "int64" for spec in data.schema.inputs):
        return {}
    codes = known_codes(builder(0), looked_at(data.schema, data.development, _SAMPLE_ROWS))
    check_codes(codes, data)
    return codes


def _check_empty_rows(builder: Builder, data: LoadedData) -> None:
    """Runs a model on rows that have no step, where there are such."""
    masks = [spec.name for spec in data.schema.inputs if spec.is_mask]
    for what, rows in (("rows", data.development), ("test rows", data.test)):
        for name in masks:
            empty = (~rows.inputs[name].flatten(1).any(1)).nonzero().flatten()
            if len(empty):
                few = looked_at(data.schema, rows.take(empty[:_SAMPLE_ROWS]))
                check_empty_rows(builder, data.schema, few, what)


def looked_at(schema: Schema, examples: Examples, count: int = 256) -> Inputs:
    """Returns the first rows as models take them, on the CPU."""
    device = next(iter(examples.inputs.values())).device
    rows = torch.arange(min(count, len(examples)), device=device)
    layers = modality_of(schema).base_layers(schema, examples, rows)
    with torch.no_grad():
        return _to_cpu(Front(layers).to(device)(examples.take(rows).inputs))


def _to_cpu(inputs: Inputs) -> Inputs:
    return {name: tensor.cpu() for name, tensor in inputs.items()}
