"""Number of blocks of a user's model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net, concealed, duplicate, is_pretrained
from pawl.models.blocks import Part, effect, grown, no_parts, parts, runs, shrunk
from pawl.models.copies import copied
from pawl.models.edits import edited
from pawl.models.recurrent import (
    can_stack,
    deeper,
    follow,
    followable,
    recurrent_layers,
    stacked,
)
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class BlocksSettings(Settings):
    """Settings of `blocks`."""

    change: Literal[-1, 1, 2] = Field(1, description="blocks more, or fewer, of each kind in a row")


def blocks(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Adds copies behind blocks that keep the shape, or takes out one of several alike.

    A copy of a residual block, or of one that was learned, starts by returning its input; another one
    starts with weights drawn like those that were there. Of learned blocks the one goes without which
    outputs change least, else the last. Recurrent layers get more layers, or fewer.
    """
    found = parts(module, sample)
    called = any(part.chained for part in found)  # what is called as a function is a part of it
    if not called:
        module = concealed(module)
        found = parts(module, sample)
    learned = is_pretrained(module)
    edits: list[Callable[[nn.Module], None]] = []
    # From the back: what is in front keeps its name.
    groups = runs(found, module)[::-1]
    if settings.change > 0:
        for part in [run[-1] for run in groups]:
            copies = [copied(module, part, learned=learned) for _ in range(settings.change)]
            edits.append(partial(_grow, part=part, copies=copies))
    for run in groups if settings.change < 0 else ():
        if len(run) > 1:
            last = run[-1]
            if learned:
                last = min(run, key=lambda part: effect(module, part, sample))
            edits.append(partial(shrunk, part=last))
    edits += _recurrent(module, sample, settings.change, learned=learned)
    what = ("blocks", settings.change)
    edited(module, sample, edits, what, same=learned and settings.change > 0)
    return module if called else concealed(module)


def _recurrent(
    module: nn.Module, sample: Inputs, change: int, *, learned: bool
) -> list[Callable[[nn.Module], None]]:
    """Returns edits of recurrent layers; learned ones keep what they compute."""
    edits: list[Callable[[nn.Module], None]] = []
    behind = followable(module, sample) if learned and change > 0 else {}
    for name in recurrent_layers(module):
        layer = module.get_submodule(name)
        if not can_stack(layer) or (change < 0 and getattr(layer, "num_layers", 1) <= -change):
            continue
        if not learned or change < 0:
            edits.append(partial(_deepen, name=name, change=change))
        elif name in behind:
            edits.append(partial(_stack, name=name, change=change))
    return edits


def _deepen(module: nn.Module, name: str, change: int) -> None:
    replace(module, lambda n, old: deeper(old, change) if n == name else None)  # type: ignore[arg-type]


def _stack(module: nn.Module, name: str, change: int) -> None:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.RNNBase)
    follow(module, name, stacked(layer, change))


def _grow(module: nn.Module, part: Part, copies: list[nn.Module]) -> None:
    grown(module, part, [duplicate(each) for each in copies])


def _fits(facts: Facts) -> str | None:
    if isinstance(facts.module, Net):
        return "it is for models of your own; depth is for the networks that pawl builds"
    found = parts(facts.module, facts.sample)
    if found or any(
        can_stack(facts.module.get_submodule(n)) for n in recurrent_layers(facts.module)
    ):
        return None
    return no_parts(facts.module, facts.sample)


TECHNIQUE = ModelTechnique(
    name="blocks",
    summary="Blocks of your model that are repeated: some more, or one fewer.",
    reference="He et al., Deep Residual Learning for Image Recognition, 2016; blocks that start by "
    "returning their input as in Bachlechner et al., ReZero, 2020",
    apply=blocks,
    phase=Phase.DEPTH,
    settings=BlocksSettings,
    fits=_fits,
)
