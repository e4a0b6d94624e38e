"""A technique that would change nothing of a model is refused, with the reason, and not searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from problems import frame, problem
from torch import nn

import pawl
from pawl.data.types import Inputs
from pawl.errors import TaskError
from pawl.search import Space, baseline
from pawl.techniques import (
    ModelTechnique,
    Settings,
    refusal,
    register,
    technique,
    techniques,
    unregister,
)


class Choice(Settings):
    """One of two, of which the default does nothing."""

    way: Literal["stay", "double"] = "stay"


def idle(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Looks for convolutions, of which a table's network has none."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.bias = None
    return module


def chosen(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Doubles weights if it is told to."""
    if settings.way == "double":
        with torch.no_grad():
            for weights in module.parameters():
                weights.mul_(2.0)
    return module


def hooked(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Changes what a layer does without another module."""
    layer = next(m for m in module.modules() if isinstance(m, nn.Linear))
    layer.register_forward_hook(lambda _, __, out: 2 * out)
    return module


def raising(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    raise RuntimeError("not this one")


@pytest.fixture(autouse=True)
def _own() -> Iterator[None]:
    for function, settings in (
        (idle, Settings),
        (chosen, Choice),
        (hooked, Settings),
        (raising, Settings),
    ):
        register(
            ModelTechnique(
                name=f"test_{function.__name__}", summary="For this test.", reference="none",
                apply=function, settings=settings,
            )
        )  # fmt: skip
    yield
    for name in ("idle", "chosen", "hooked", "raising"):
        unregister(f"test_{name}")


def test_only_what_changes_nothing_by_any_of_its_literals_is_refused() -> None:
    facts = problem("table").facts()
    before = {k: v.clone() for k, v in facts.module.state_dict().items()}
    found = {
        name: refusal(technique(f"test_{name}"), facts)
        for name in ("idle", "chosen", "hooked", "raising")
    }
    assert found == {
        "idle": "it changes nothing of this model",
        "chosen": None,
        "hooked": None,
        "raising": None,
    }
    assert refusal(technique("test_idle"), problem("images").facts()) is None
    after = facts.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("kind", ["table", "images", "regression"])
def test_no_shipped_technique_fits_and_changes_nothing(kind: str) -> None:
    facts = problem(kind).facts()
    for each in techniques():
        if not each.name.startswith("test_") and each.fits(facts) is None:
            assert refusal(each, facts) is None, each.name


def test_it_is_not_searched_and_asking_for_it_is_one_line(tmp_path: Path) -> None:
    facts = problem("table").facts()
    space = Space(baseline(facts), facts)
    assert space.left_out["test_idle"] == "it changes nothing of this model"
    assert "use:test_idle" not in space.distributions
    assert "use:test_chosen" in space.distributions
    with pytest.raises(
        TaskError, match="'test_idle' does not fit this task: it changes nothing of this model"
    ):
        pawl.optimize(frame(), target="target", trials=4, only=["test_idle"], out=tmp_path / "out")
