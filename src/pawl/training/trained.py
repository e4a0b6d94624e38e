"""What predicts; and trained pipelines as safetensors, which rebuild what was trained, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from onnx import ModelProto
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import BundleError
from pawl.ledger import Ledger
from pawl.models import (
    Averaged,
    Corrected,
    Deployed,
    Layout,
    Learned,
    Pipeline,
    assign,
    to_onnx,
)
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.run import Outcome


@dataclass(frozen=True)
class Part:
    """One training of what predicts.

    Attributes:
        recipe: What was trained.
        seed: From which seed.
        share: Of the prediction.
    """

    recipe: Recipe
    seed: int
    share: float = 1.0


class Predictor(Protocol):
    """Whatever predicts: what evidence scores, and a bundle holds."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The trainings that made it; at least one."""

    @property
    def num_parameters(self) -> int:
        """Number of trained weights."""

    def predict(self, examples: Examples, device: torch.device) -> Tensor:
        """Returns predictions of all rows, `[R, *P]` (`pawl.kinds`), on the CPU."""

    def graph(self, sample: Examples, traced: dict[str, ModelProto] | None = None) -> bytes:
        """Returns it as an ONNX graph from raw inputs to predictions, with a free batch axis.

        Args:
            sample: At least two rows to trace with.
            traced: What was traced before for others with this sample; see `pawl.models.to_onnx`.

        Raises:
            BundleError: It cannot be exported.
        """

    def to_safetensors(self) -> bytes:
        """Returns weights and buffers by name, with what they were made by."""


@dataclass(frozen=True)
class Trained:
    """A trained pipeline of PyTorch modules, or several that predict their weighted mean.

    Attributes:
        parts: As in `Predictor`; as many as the pipeline has members.
        model: The whole pipeline, on the CPU.
    """

    parts: tuple[Part, ...]
    model: Pipeline

    @property
    def num_parameters(self) -> int:
        """Number of trained weights, and of the numbers that learners have learned."""
        learned = [each for each in self.model.modules() if isinstance(each, Learned)]
        buffers = [buffer for each in learned for buffer in each.buffers()]
        return sum(tensor.numel() for tensor in (*self.model.parameters(), *buffers))

    def alone(self, recipe: Recipe) -> Trained:
        """Returns one of the models whose mean it predicts: the first of a recipe.

        Args:
            recipe: One of those that it was trained by.
        """
        if not isinstance(self.model, Averaged):
            return self
        place = next(at for at, part in enumerate(self.parts) if part.recipe == recipe)
        model = self.model.members[place]
        assert isinstance(model, Deployed)
        return Trained((replace(self.parts[place], share=1.0),), model)

    def predict(self, examples: Examples, device: torch.device) -> Tensor:
        """Returns predictions of all rows, a few thousand at a time."""
        model = self.model.to(device)
        rows = max(64, min(4096, 1_000_000 // examples.width))
        inputs = [torch.split(examples.inputs[name], rows) for name in model.names]
        with torch.no_grad():
            # Copies: a user's forward may change its inputs in place.
            found = [
                model(*(part.to(device, copy=True) for part in chunk)).cpu()
                for chunk in zip(*inputs, strict=True)
            ]
        model.cpu()
        return torch.cat(found)

    def graph(self, sample: Examples, traced: dict[str, ModelProto] | None = None) -> bytes:
        """Returns it as an ONNX graph."""
        return to_onnx(self.model, sample, traced)

    def tensors(self) -> dict[str, Tensor]:
        """Returns copies of all weights and buffers by name."""
        return {
            name: tensor.detach().contiguous().clone()
            for name, tensor in self.model.state_dict().items()
        }

    def described(self) -> list[dict[str, Any]]:
        """Returns what it was trained by, for JSON."""
        return [
            {"recipe": part.recipe.to_dict(), "seed": part.seed, "share": part.share}
            for part in self.parts
        ]

    def to_safetensors(self) -> bytes:
        """Returns all weights and buffers by name."""
        # One entry: safetensors writes several in any order, and equal models should be equal bytes.
        return save(self.tensors(), metadata={"parts": json.dumps(self.described())})


def part_of(member: Member) -> Part:
    """Returns what a training is of what predicts."""
    return Part(member.recipe, member.seed)


def untrained(problem: Problem, recipe: Recipe, seed: int, rows: Tensor) -> Trained:
    """Returns a recipe's model with its first weights, fitted on these rows."""
    front, body, fitted = problem.build(recipe, seed, rows)
    model = Deployed(
        problem.schema, front, body, fitted.target_mean, fitted.target_std, fitted.limits
    ).cpu()
    return Trained((Part(recipe, seed),), model)


def from_outcome(problem: Problem, outcome: Outcome) -> Trained:
    """Returns the model that a training left (its outcome must hold weights)."""
    assert outcome.weights is not None
    member = outcome.member
    front, body, fitted = problem.build(member.recipe, member.seed, member.train)
    views = Layout.of(body).views(outcome.weights)
    assign(body, views | outcome.buffers)  # frozen weights stay as the builder gave them
    model = Deployed(
        problem.schema, front, body, fitted.target_mean, fitted.target_std, fitted.limits
    ).cpu()
    return Trained((part_of(member),), model)


def blended(
    each: Sequence[Trained],
    shares: Sequence[float] = (),
    temperature: float | None = None,
    shift: float | None = None,
) -> Trained:
    """Returns trained models as one that predicts the mean of their predictions.

    Args:
        each: At least one; those that are several themselves are taken apart. If they are tempered,
            shifted or corrected by trees, all alike, so is the mean of what they are made of.
        shares: Of each, summing to one; equal by default.
        temperature: What the mean is tempered by; `None` for nothing more.
        shift: Of the second of two classes; `None` for nothing more.
    """
    if len(each) == 1 and temperature is None and shift is None:
        return each[0]
    if isinstance(first := each[0].model, Averaged) and temperature is None and shift is None:
        temperature = None if first.temperature is None else float(first.temperature)
        shift = None if first.shift is None else float(first.shift)
    parts, members = _taken_apart(each, shares or [1.0 / len(each)] * len(each))
    equal = len({part.share for part in parts}) == 1
    unlike = () if equal else [part.share for part in parts]
    if isinstance(first, Averaged) and first.corrected is not None:
        groups = [g for one in each if isinstance(one.model, Averaged) for g in one.model.groups]
        return Trained(parts, Averaged(members, unlike, corrected=first.corrected, groups=groups))
    return Trained(parts, Averaged(members, unlike, temperature, shift))


def stacked(each: Sequence[Trained], corrected: Corrected) -> Trained:
    """Returns trained models as one that predicts what trees make of their predictions.

    Args:
        each: At least one, each a single pipeline.
        corrected: Combines them.
    """
    parts, members = _taken_apart(each, corrected.shares.tolist())
    groups = range(len(members))
    return Trained(parts, Averaged(members, corrected=corrected, groups=groups))


def _taken_apart(
    each: Sequence[Trained], shares: Sequence[float]
) -> tuple[tuple[Part, ...], list[Deployed]]:
    parts: list[Part] = []
    members: list[Deployed] = []
    for one, share in zip(each, shares, strict=True):
        parts += [replace(part, share=share * part.share) for part in one.parts]
        several = one.model.members if isinstance(one.model, Averaged) else [one.model]
        members += [member for member in several if isinstance(member, Deployed)]
    return tuple(parts), members


def save_models(ledger: Ledger, name: str, models: Mapping[str, Trained]) -> None:
    """Keeps trained models in one file of the campaign's folder: a file takes time to write safely.

    Args:
        ledger: The campaign's.
        name: The file's.
        models: By a key of theirs.
    """
    tensors = {
        f"{key}/{at}": each for key, one in models.items() for at, each in one.tensors().items()
    }
    meta = {key: one.described() for key, one in models.items()}
    ledger.write_file(name, save(tensors, metadata={"trials": json.dumps(meta)}))


@dataclass(frozen=True)
class KeptModel:
    """One of a file's models, to be read where it is wanted.

    Attributes:
        path: The file.
        key: Its key there.
        problem: The task.
        rows: The training rows that it was fitted on.
    """

    path: Path
    key: str
    problem: Problem
    rows: Tensor

    def load(self) -> Trained:
        """Reads it.

        Raises:
            BundleError: The file is missing or damaged.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                (part,) = json.loads(file.metadata()["trials"])[self.key]
                prefix = f"{self.key}/"
                tensors = {
                    at.removeprefix(prefix): file.get_tensor(at)
                    for at in file.keys()  # noqa: SIM118
                    if at.startswith(prefix)
                }
            recipe, seed = Recipe.from_dict(part["recipe"]), int(part["seed"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{str(self.path)!r} cannot be read ({error}); start the campaign anew"
            ) from None
        trained = untrained(self.problem, recipe, seed, self.rows)
        assign(trained.model, tensors)
        return trained
