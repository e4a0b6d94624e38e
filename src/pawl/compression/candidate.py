"""What a step of compression makes: a graph, and the weights that its modules would have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from pawl.errors import BundleError, first_line
from pawl.evidence import Blend, Single, to_toml
from pawl.recipe import Recipe

_ADJUSTING = ("temperature", "shift")


@dataclass(frozen=True, eq=False)
class Weights:
    """A bundle's weights file, taken apart.

    Attributes:
        tensors: By name; of several members those of the `i`-th begin with `members.i.`.
        parts: Recipe, seed and share of each member.
    """

    tensors: dict[str, Tensor]
    parts: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Weights:
        """Reads the file.

        Raises:
            BundleError: It holds something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                parts = json.loads(file.metadata()["parts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(tensors, tuple(dict(part) for part in parts))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{str(path)!r} cannot be read ({first_line(error)})") from None

    @property
    def recipes(self) -> list[Recipe]:
        """Of each member."""
        return [Recipe.from_dict(part["recipe"]) for part in self.parts]

    def only(self, kept: Sequence[int]) -> Weights:
        """Returns those of these members alone; their shares sum to one again."""
        total = sum(float(self.parts[at]["share"]) for at in kept)
        parts = [{**self.parts[at], "share": self.parts[at]["share"] / total} for at in kept]
        adjusting = {name: self.tensors[name] for name in _ADJUSTING if name in self.tensors}
        tensors = dict(adjusting)
        for number, at in enumerate(kept):
            new = f"members.{number}." if len(kept) > 1 or adjusting else ""
            old = f"members.{at}."
            tensors |= {
                new + name.removeprefix(old): tensor
                for name, tensor in self.tensors.items()
                if name.startswith(old)
            }
        return Weights(tensors, tuple(parts))

    def to_bytes(self) -> bytes:
        """Returns the file."""
        return save(self.tensors, metadata={"parts": json.dumps(list(self.parts))})

    def to_toml(self) -> str:
        """Returns the recipe, or the blend of recipes, whose models these are."""
        shares: dict[str, float] = {}
        recipes = {recipe.id: recipe for recipe in self.recipes}
        for recipe, part in zip(self.recipes, self.parts, strict=True):
            shares[recipe.id] = shares.get(recipe.id, 0.0) + float(part["share"])
        adjusting = {n: float(self.tensors[n]) for n in _ADJUSTING if n in self.tensors}
        if len(recipes) == 1 and not adjusting:
            return to_toml(Single(self.recipes[0]))
        return to_toml(Blend(tuple(recipes.values()), tuple(shares.values()), **adjusting))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that a step proposes.

    Attributes:
        step: The step's name.
        detail: What was done, in a few words.
        graph: As ONNX.
        weights: Of its modules; of a quantized one before that.
        facts: What was counted, such as nodes that compute with integers (JSON-ready).
        is_exact: Whether the modules predict what the graph does.
        is_lossless: Whether it computes the same as what there was, which is then checked, not tested.
    """

    step: str
    detail: str
    graph: bytes
    weights: Weights
    facts: dict[str, Any] = field(default_factory=dict)
    is_exact: bool = True
    is_lossless: bool = False
