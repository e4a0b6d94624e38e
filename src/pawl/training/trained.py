"""A trained trial as safetensors: what rebuilds the model that was trained, bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import BundleError
from pawl.ledger import Ledger
from pawl.models import Averaged, Deployed, Layout, Pipeline
from pawl.recipe import Recipe
from pawl.training.problem import Problem
from pawl.training.run import Outcome
from pawl.training.state import Buffers


@dataclass(frozen=True)
class Trained:
    """A trained model, ready to be saved or deployed.

    Attributes:
        recipe: Its recipe.
        seed: Its seed; the first one's of several models.
        model: The whole pipeline, on the CPU.
    """

    recipe: Recipe
    seed: int
    model: Pipeline

    def tensors(self) -> dict[str, Tensor]:
        """Returns copies of all weights and buffers by name."""
        return {
            name: tensor.detach().contiguous().clone()
            for name, tensor in self.model.state_dict().items()
        }

    def described(self) -> dict[str, Any]:
        """Returns what it was trained by, for JSON."""
        return {"recipe": self.recipe.to_dict(), "seed": self.seed}

    def to_safetensors(self) -> bytes:
        """Returns all weights and buffers by name."""
        # One entry: safetensors writes several in any order, and equal models should be equal bytes.
        return save(self.tensors(), metadata={"trial": json.dumps(self.described())})

    @property
    def num_parameters(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.model.parameters())


def untrained(problem: Problem, recipe: Recipe, seed: int, rows: Tensor) -> Trained:
    """Returns a recipe's model with its first weights, fitted on these rows."""
    front, body, fitted = problem.build(recipe, seed, rows)
    model = Deployed(problem.schema, front, body, fitted.target_mean, fitted.target_std).cpu()
    return Trained(recipe, seed, model)


def from_outcome(problem: Problem, outcome: Outcome) -> Trained:
    """Returns the model that a training left (its outcome must hold weights)."""
    assert outcome.weights is not None
    member = outcome.member
    front, body, fitted = problem.build(member.recipe, member.seed, member.train)
    _load(body, outcome.weights, outcome.buffers)
    model = Deployed(problem.schema, front, body, fitted.target_mean, fitted.target_std).cpu()
    return Trained(member.recipe, member.seed, model)


def averaged(each: Sequence[Trained]) -> Trained:
    """Returns trained models of one recipe as one that predicts the mean of their predictions."""
    first = each[0]
    models = [one.model for one in each if isinstance(one.model, Deployed)]
    return first if len(each) == 1 else Trained(first.recipe, first.seed, Averaged(models))


def predictions(trained: Trained, examples: Examples, device: torch.device) -> Tensor:
    """Returns a model's predictions of all rows, `[R, C]` or `[R]`, on the CPU."""
    model = trained.model.to(device)
    per_row = sum(math.prod(x.shape[1:]) for x in examples.inputs.values())
    rows = max(64, min(4096, 1_000_000 // per_row))
    inputs = [torch.split(examples.inputs[name], rows) for name in model.names]
    with torch.no_grad():
        found = [
            model(*(part.to(device) for part in chunk)).cpu() for chunk in zip(*inputs, strict=True)
        ]
    model.cpu()
    return torch.cat(found)


def _load(body: torch.nn.Module, weights: Tensor, buffers: Buffers) -> None:
    views = Layout.of(body).views(weights)
    with torch.no_grad():
        for name, parameter in body.named_parameters():
            parameter.copy_(views[name])
        for name, buffer in body.named_buffers():
            if name in buffers:  # else it is a frozen weight that the builder gave
                buffer.copy_(buffers[name])


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


def load_model(ledger: Ledger, name: str, key: str, problem: Problem, rows: Tensor) -> Trained:
    """Reads one of a file's models back; `rows` are the training rows it was fitted on.

    Raises:
        BundleError: The file is missing or damaged.
    """
    path = ledger.folder / name
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["trials"])[key]
            prefix = f"{key}/"
            tensors = {
                at.removeprefix(prefix): file.get_tensor(at)
                for at in file.keys()  # noqa: SIM118
                if at.startswith(prefix)
            }
        recipe = Recipe.from_dict(meta["recipe"])
        seed = int(meta["seed"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{str(path)!r} cannot be read ({error}); start the campaign anew"
        ) from None
    trained = untrained(problem, recipe, seed, rows)
    trained.model.load_state_dict(tensors)
    return trained
