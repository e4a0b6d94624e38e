"""From a task's weights, or a model that came with weights, to what builds the task's models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from pawl.data.types import Inputs, Schema
from pawl.errors import BundleError, TaskError, first_line, option
from pawl.models import Builder, ModelBuilder, Started, head_of
from pawl.models.nets import EMBEDDING_WIDTH
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.transfer.building import CONVOLUTIONS, Structured, observed
from pawl.transfer.bundles import ADAPTED
from pawl.transfer.columns import Moved, moves
from pawl.transfer.matching import as_tensors, check_share, match
from pawl.transfer.saved_names import saved_names
from pawl.transfer.sources import Weights, read_weights


@dataclass(frozen=True, eq=False)
class Begun:
    """What a task's models are built by.

    Attributes:
        builder: Builds them.
        notes: What was made of the weights, a line each.
        record: What `restarted` needs, for JSON; `None` where models start from random weights.
    """

    builder: Builder
    notes: tuple[str, ...] = ()
    record: dict[str, Any] | None = None


def begin(task: Task, builder: ModelBuilder, schema: Schema, sample: Inputs) -> Begun:
    """Returns what builds a task's models, from the weights that they start from, if there are any.

    Args:
        task: Its `model`, `weights` and `allow_partial` are used.
        builder: Builds its models from random weights, or those that the user's model comes with.
        schema: The data's.
        sample: Rows as models take them.

    Raises:
        TaskError: The weights cannot be read, or are not the model's.
        BundleError: They are a bundle's, which cannot be read or rebuilt.
    """
    if task.weights is None:
        if task.allow_partial:
            raise TaskError(
                f"{option('allow_partial', True)} is for starting from weights; give "
                f"{option('weights')} too, or leave it out"
            )
        return _of_own_weights(task, builder, schema, sample)
    weights = read_weights(task.weights)
    inner: Builder = builder
    structure: tuple[Recipe, ...] = ()
    if weights.bundle is not None:
        inner, structure = _of_bundle(task, builder, weights, schema, sample)
    elif task.model is None:
        raise TaskError(
            f"the weights in {weights.name} come without a model; give the model that they are of, as "
            "module.py with a pawl.Task(model=...), or weights that are a bundle"
        )
    started = observed(Started(inner), schema, sample)
    return _loaded(started, weights, structure, schema, task)


def restarted(
    record: Mapping[str, Any], builder: ModelBuilder, schema: Schema, sample: Inputs
) -> Started:
    """Returns what builds a bundle's models again, without the weights that they started from.

    Args:
        record: As `Begun` has it.
        builder: See `begin`.
        schema: The bundle's.
        sample: Rows as models take them.
    """
    recipes = tuple(Recipe.from_dict(each) for each in record["structure"])
    inner: Builder = builder
    if recipes:
        inner = Structured(builder, recipes, schema, sample)
    made = {name: record[name] for name in ("head", "outputs", "entry", "channels")}
    return Started(inner, **made)


def alike(one: nn.Module, other: nn.Module) -> bool:
    """Tells whether most weights of two models that were drawn from unlike seeds are equal."""
    pairs = [
        each
        for each in zip(one.parameters(), other.parameters(), strict=False)
        if not any(isinstance(x, nn.parameter.UninitializedParameter) for x in each)
    ]
    drawn = [(x, y) for x, y in pairs if x.numel() > 1 and bool((x != x.flatten()[0]).any())]
    equal = sum(x.numel() for x, y in drawn if x.shape == y.shape and torch.equal(x, y))
    return 2 * equal > sum(x.numel() for x, _ in drawn) > 0


def _of_own_weights(task: Task, builder: ModelBuilder, schema: Schema, sample: Inputs) -> Begun:
    """Returns what builds models of the user's that came with weights, with the task's outputs."""
    if task.model is None:
        return Begun(builder)
    first, second = builder(0), builder(1)
    shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    if shared or not alike(first, second):
        return Begun(builder)
    started = observed(Started(builder), schema, sample)
    said = ["the model came with weights, which trainings start from"]
    if started.entry is not None:
        said.append(f"{_plain(started.entry)} was made for {started.channels} input channel(s)")
    if started.head is not None:
        said.append(f"{_plain(started.head)} is new, with {started.outputs} output(s)")
    return Begun(started, ("; ".join(said),), _record(started, (), own_model=True))


def _of_bundle(
    task: Task, builder: ModelBuilder, weights: Weights, schema: Schema, sample: Inputs
) -> tuple[Builder, tuple[Recipe, ...]]:
    bundle = weights.bundle
    assert bundle is not None
    if bundle.own_model and task.model is None:
        raise TaskError(
            f"{weights.name} holds a model of your own; give the module.py that makes it, too"
        )
    if not bundle.own_model and task.model is not None:
        return builder, ()
    try:
        made = Structured(builder, bundle.structure, schema, sample)
        made(0)
    except Exception as error:  # techniques of the bundle's, on other inputs
        raise BundleError(
            f"the network of {weights.name} cannot be built for these inputs ({first_line(error)}); "
            "give rows with inputs like those that it was trained on"
        ) from error
    return made, bundle.structure


def _loaded(
    started: Started,
    weights: Weights,
    structure: tuple[Recipe, ...],
    schema: Schema,
    task: Task,
) -> Begun:
    """Returns what builds models with weights in place."""
    body = started(0)
    bundle = weights.bundle
    tensors = as_tensors(body, rates=bundle is not None)
    names = {_plain(name): name for name in tensors}
    model = {_plain(name): x for name, x in tensors.items()}
    head = started.head or head_of(body, started.order)
    relocated: dict[str, Moved] = {}
    new_meaning = False
    if bundle is not None:
        relocated = _relocated(model, schema, bundle.schema, started.order)
        new_meaning = [t.model_dump() for t in schema.targets] != [
            t.model_dump() for t in bundle.schema.targets
        ]
    entry = next((n for n in started.order if _is_whole(body.get_submodule(n))), None)
    put = partial(
        match, model, weights.tensors, head=head and _plain(head), entry=entry and _plain(entry),
        moved=relocated, fresh_head=new_meaning,
    )  # fmt: skip
    found = put()
    if found.missing and bundle is None:  # packages may save under other names than modules have
        others = {_plain(name): _plain(own) for name, own in saved_names(body).items()}
        again = put(saved=others) if others else found
        found = again if again.share > found.share else found
    check_share(found, weights.name, allow_partial=task.allow_partial)
    said = [*weights.notes, *found.lines()]
    if head is not None and not found.head:
        said.append(f"{_plain(head)} is new, with {schema.num_outputs} output(s)")
    whole = replace(started, tensors={names[n]: x.clone() for n, x in found.tensors.items()})
    line = f"the model starts from the weights in {weights.name}: {'; '.join(said)}"
    own = task.model is not None
    return Begun(whole, (line,), _record(started, structure, own_model=own))


def _relocated(
    model: Mapping[str, Any], own: Schema, theirs: Schema, order: tuple[str, ...]
) -> dict[str, Moved]:
    """Returns by tensor where columns of tables lie elsewhere; see `Moved`."""
    found = moves(own, theirs, EMBEDDING_WIDTH)
    if not found:
        return {}
    whole = {}
    for name in model:
        if name.endswith("embedding.weight"):
            whole[name] = found.get("embedding")
        elif name.endswith("stem.layer.weight"):
            whole[name] = found.get("stem")
    if not whole and order:
        whole[f"{_plain(order[0])}.weight"] = found.get("vector")
    return {name: each for name, each in whole.items() if each is not None}


def _record(started: Started, structure: tuple[Recipe, ...], *, own_model: bool) -> dict[str, Any]:
    return {
        "structure": [recipe.to_dict() for recipe in structure],
        "own_model": own_model,
        "head": started.head,
        "outputs": started.outputs,
        "entry": started.entry,
        "channels": started.channels,
    }


def _is_whole(layer: nn.Module) -> bool:
    return isinstance(layer, CONVOLUTIONS) and layer.groups == 1


def _plain(name: str) -> str:
    """Returns a layer's name as the user knows it."""
    return name.removeprefix(ADAPTED)
