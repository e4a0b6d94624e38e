"""From a bundle back to PyTorch modules, without the rows that it was trained on.

Recipe, seed and schema say which modules there are; what was fitted on rows or trained comes from the
weights' file. Some shapes follow from the rows (bins of an encoding): they are taken from the file, too.
That the result predicts what the bundle's graph does is checked.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pawl.data.templates import template
from pawl.data.types import Schema
from pawl.deployment.export import predict
from pawl.deployment.records import apart
from pawl.errors import BundleError, PawlError, first_line, option
from pawl.kinds import KINDS
from pawl.modalities import modality_of
from pawl.models import Averaged, Corrected, Deployed, ModelBuilder, Pipeline, assign
from pawl.recipe import Recipe
from pawl.task import ModelFactory
from pawl.training.metrics import make_objective
from pawl.training.problem import Problem, looked_at
from pawl.training.trained import untrained
from pawl.transfer import restarted

_ROWS, _CHECKED = 256, 64
_TOLERANCE = 1e-3


def rebuilt(
    schema: Schema,
    graph: bytes | None,
    weights: str,
    model: ModelFactory | None,
    start: dict[str, Any] | None = None,
) -> Pipeline:
    """Returns a bundle's pipeline as a module, on the CPU.

    Args:
        schema: The bundle's.
        graph: Its graph, which the module must agree with; `None` where there is none to ask.
        weights: The path of its weights.
        model: What makes the user's own model, as the campaign had it; `None` for pawl's.
        start: What the bundle keeps of the weights that it started from; `None` for random ones.

    Raises:
        BundleError: The module cannot be built, does not have these weights, or predicts otherwise.
    """
    try:
        with safe_open(weights, framework="pt") as file:
            parts = json.loads(file.metadata()["parts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        recipes = [(Recipe.from_dict(part["recipe"]), int(part["seed"])) for part in parts]
        shares = [float(part["share"]) for part in parts]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{weights!r} cannot be read ({first_line(error)})") from None
    rows = template(schema, _ROWS)
    modality = modality_of(schema)
    builder = ModelBuilder(schema, model, modality.net, one_vector=modality.one_vector)
    problem = Problem(
        schema=schema,
        examples=rows,
        objective=make_objective(None, None, schema.kind),
        builder=builder
        if start is None
        else restarted(start, builder, schema, looked_at(schema, rows)),
    )
    members = []
    for recipe, seed in recipes:
        try:
            fresh = untrained(problem, recipe, seed, torch.arange(len(rows))).model
        except PawlError:
            raise
        except Exception as error:
            raise BundleError(
                f"the bundle's model cannot be built ({type(error).__name__}: {first_line(error)}); "
                f"give the model that the campaign was given, as {option('model')}"
            ) from error
        assert isinstance(fresh, Deployed)
        members.append(fresh)
    pipeline: Pipeline = members[0]
    tempers, shifts = "temperature" in tensors, "shift" in tensors
    if "corrected.shares" in tensors:
        kinds = list(dict.fromkeys(recipe.id for recipe, _ in recipes))
        classes = schema.num_outputs if KINDS[schema.kind].has_classes else 0
        pipeline = Averaged(
            members, shares, corrected=Corrected([0.0] * len(kinds), classes),
            groups=[kinds.index(recipe.id) for recipe, _ in recipes],
        )  # fmt: skip
    elif len(members) > 1 or tempers or shifts:
        pipeline = Averaged(members, shares, 1.0 if tempers else None, 0.0 if shifts else None)
    _assign(pipeline, tensors)
    if graph is not None:
        _check(pipeline, graph, schema)
    return pipeline


def _assign(pipeline: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts tensors in place, whatever shapes the rows gave them.

    Raises:
        BundleError: There are others.
    """
    present = pipeline.state_dict()
    unlike = sorted(present.keys() ^ tensors.keys())
    if unlike:
        raise BundleError(
            f"the model has other weights than the bundle ({', '.join(unlike[:3])}...); give the model "
            f"that the campaign was given, as {option('model')}"
        )
    assign(pipeline, tensors)


def _check(pipeline: Pipeline, graph: bytes, schema: Schema) -> None:
    rows = template(schema, _CHECKED, seed=1)
    expected = predict(graph, rows)
    try:
        with torch.no_grad():
            got = pipeline(*(rows.inputs[name] for name in pipeline.names)).numpy()
    except Exception as error:
        raise BundleError(
            f"the model cannot take the bundle's weights ({first_line(error)}); give the model that the "
            f"campaign was given, as {option('model')}"
        ) from error
    if not apart(got, expected) <= _TOLERANCE:
        raise BundleError(
            "the model that was built does not predict what the bundle does: a technique or model makes "
            "more of its training rows than its weights hold"
        )
