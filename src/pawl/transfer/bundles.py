"""Reads the network of a bundle: its weights, and by which techniques it was built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pawl.data.types import Schema
from pawl.errors import BundleError, first_line
from pawl.models import merged_tensors
from pawl.recipe import Recipe
from pawl.techniques import DataTechnique, ModelTechnique, Phase

ADAPTED = "module."
"""In front of the names of what an `Adapter`, or what wraps a whole model, calls."""
_READ = ("model.safetensors", "task.json")


@dataclass(frozen=True, eq=False)
class BundleStart:
    """What a bundle says of its network.

    Attributes:
        structure: Recipes whose model techniques built it, the first one applied first.
        schema: Of the rows that it learned from.
        own_model: Whether it was built from a model of the user's.
    """

    structure: tuple[Recipe, ...]
    schema: Schema
    own_model: bool


@dataclass(frozen=True, eq=False)
class ReadBundle:
    """A bundle's network."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    start: BundleStart


def wraps(technique: ModelTechnique) -> bool:
    """Tells whether a technique only wraps the whole model, whose layers and weights stay."""
    return technique.phase == Phase.PRECISION


def read_bundle(folder: Path) -> ReadBundle:
    """Reads the network of the largest share in a bundle, or in the bundle of a campaign's folder.

    Raises:
        BundleError: It is none, is damaged, or has no network.
    """
    if (folder / "bundle" / "manifest.json").is_file():
        folder = folder / "bundle"
    task = json.loads(_checked(folder)["task.json"])
    if not task.get("compressed", {}).get("exact", True):
        raise BundleError(
            f"the graph of {str(folder)!r} was quantized, pruned or factored, so its weights are not "
            "those of its recipe; give the bundle that it was made from"
        )
    try:
        schema = Schema.model_validate(task["schema"])
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            parts = json.loads(file.metadata()["parts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        recipes = [Recipe.from_dict(part["recipe"]) for part in parts]
        shares = [float(part["share"]) for part in parts]
        start: dict[str, Any] = task.get("start") or {}
        before = tuple(Recipe.from_dict(each) for each in start.get("structure", ()))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{str(folder)!r} cannot be read ({first_line(error)})") from None
    nets = [place for place, recipe in enumerate(recipes) if recipe.learner is None]
    if not nets:
        raise BundleError(
            f"{str(folder)!r} holds no network ({', '.join(t.name for t, _ in recipes[0])}); give a "
            "bundle of networks, as --families nets makes it"
        )
    chosen = max(nets, key=lambda place: shares[place])
    recipe = recipes[chosen]
    inputs = [t.name for t, _ in recipe.of_stage(DataTechnique) if t.name in _MORE_INPUTS]
    if inputs:
        raise BundleError(
            f"the network of {str(folder)!r} takes inputs that {inputs[0]} computes of the rows that it "
            "was trained on; give a bundle whose recipe lacks it"
        )
    several = any(name.startswith("members.") for name in tensors)
    prefix = f"members.{chosen}.body." if several else "body."
    prefix += ADAPTED * sum(wraps(technique) for technique, _ in recipe.of_stage(ModelTechnique))
    own = {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}
    notes = (f"network {chosen + 1} of {len(recipes)}",) if several else ()
    adapted = any(name.startswith(ADAPTED) for name in own)
    return ReadBundle(
        {n.removeprefix(ADAPTED): x for n, x in merged_tensors(own).items()},
        notes,
        BundleStart((*before, recipe), schema, start.get("own_model", adapted)),
    )


_MORE_INPUTS = ("pair_features", "target_encoding")


def _checked(folder: Path) -> dict[str, bytes]:
    """Returns the files that are read, if they are what the manifest says."""
    try:
        digests = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
        found = {name: (folder / name).read_bytes() for name in _READ}
    except (OSError, KeyError, TypeError, ValueError):
        raise BundleError(
            f"{str(folder)!r} is not a bundle; give the folder of a campaign or of pawl train, or a "
            "file of weights"
        ) from None
    for name, content in found.items():
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise BundleError(
                f"{str(folder / name)!r} is not what the bundle was written with; take the bundle anew"
            )
    return found
