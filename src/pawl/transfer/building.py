"""Builds models that start from weights, as far as that takes a look at them: layers, head, entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from pawl.data.types import Inputs, Schema
from pawl.errors import BundleError, TrialError
from pawl.kinds import KINDS
from pawl.models import (
    Adapter,
    Calls,
    ModelBuilder,
    Started,
    head_of,
    layers_in_order,
    outputs,
    predicting,
    revealed,
)
from pawl.recipe import Recipe
from pawl.techniques import ModelTechnique
from pawl.transfer.bundles import wraps

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_FEW_ROWS = 4


@dataclass(frozen=True, eq=False)
class Structured:
    """Builds what techniques of recipes make of what another builder builds; see `Builder`.

    Attributes:
        builder: Builds pawl's network, or the user's.
        recipes: Whose model techniques are applied, the first one's first.
        schema: The data's.
        sample: Rows as models take them.
    """

    builder: ModelBuilder
    recipes: tuple[Recipe, ...]
    schema: Schema
    sample: Inputs

    def __call__(self, seed: int) -> nn.Module:
        """Returns a fresh module."""
        body = self.builder(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for recipe in self.recipes:
                body = self._shaped(body, recipe)
        return body

    def _shaped(self, body: nn.Module, recipe: Recipe) -> Adapter:
        known: list[Calls] = []
        for technique, settings in recipe.of_stage(ModelTechnique):
            # What only says how to train or to predict leaves no trace in what was trained.
            if technique.family != "transfer" and not wraps(technique):
                body = technique.apply(revealed(body, self.sample, known), settings, self.sample)
        body = revealed(body, self.sample, known)
        if isinstance(body, Adapter):
            return body
        if any(isinstance(each, Adapter) for each in body.modules()):
            raise BundleError(
                "a technique of the bundle's recipe wrapped the model; give its weights"
            )
        return Adapter.of_inputs(body, self.schema)


def observed(started: Started, schema: Schema, sample: Inputs) -> Started:
    """Returns a builder that knows its layers' order, and what of the model must be made anew to fit."""
    with torch.random.fork_rng(devices=[]):
        return _observed(started, schema, {name: x[:_FEW_ROWS] for name, x in sample.items()})


def _observed(started: Started, schema: Schema, few: Inputs) -> Started:
    def run(body: nn.Module) -> Any:
        return body(few)

    body = started(0)
    try:
        order = layers_in_order(body, run)
    except Exception:
        fitting = _with_entry(started, body, few)
        if fitting is None:  # what is wrong is said where the model is checked
            return started
        started, body = fitting, fitting(0)
        order = layers_in_order(body, run)
    started = replace(started, order=order)
    kind, count = KINDS[schema.kind], schema.num_outputs
    with torch.no_grad():
        raw = body.eval()(few)
    try:
        outputs(raw, kind, count)
        return started
    except TrialError:
        pass
    try:
        widths = set(predicting(raw).shape[1:])
    except TrialError:
        return started
    head = next((h for w in widths if (h := head_of(body, order, w))), None)
    if head is None:
        return started
    fitting = replace(started, head=head, outputs=count)
    try:
        with torch.no_grad():
            outputs(fitting(0).eval()(few), kind, count)
    except Exception:
        return started
    return fitting


def _with_entry(started: Started, body: nn.Module, few: Inputs) -> Started | None:
    """Returns a builder whose first convolution takes the data's channels, if that is what lacks."""
    convolutions = [(n, m) for n, m in body.named_modules() if isinstance(m, CONVOLUTIONS)]
    images = [x for x in few.values() if x.dim() > 2]
    if not convolutions or len(images) != 1 or convolutions[0][1].groups != 1:
        return None
    name, channels = convolutions[0][0], images[0].shape[1]
    fitting = replace(started, entry=name, channels=channels)
    try:
        with torch.no_grad():
            fitting(0).eval()(few)
    except Exception:
        return None
    return fitting
