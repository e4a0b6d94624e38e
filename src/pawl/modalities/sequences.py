"""Numbers over time, `[T, C]`, and texts: networks that read steps, and starts for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from pawl.data.types import ModelSpec, Schema
from pawl.modalities.recipes import add, averaged, smooth_cycle, stopped, with_rate
from pawl.modalities.vectors import Tensors
from pawl.models import EncoderKind, SequenceNet, Shape
from pawl.recipe import Recipe
from pawl.techniques import Facts

_STEPS = 2


class Sequences(Tensors):
    """Inputs among which there are numbers over time; a user's own model gets each as it is."""

    name = "sequence"
    encoder: ClassVar[EncoderKind] = "convolution"

    def takes(self, schema: Schema) -> bool:
        """Takes data with numbers on two axes."""
        return any(len(s.shape) == _STEPS and s.dtype != "int64" for s in schema.inputs)

    def net(self, spec: ModelSpec) -> nn.Module:
        """Returns a network that reads each sequence by convolutions, beside what else there is."""
        return SequenceNet(spec, Shape(width=128, encoder=self.encoder))

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns known recipes, normalized convolutions first."""
        makers = (normalized, recurrent, stopped, attentive, averaged, bag_of_steps)
        return [make(start) for make in makers]


class Windows(Sequences):
    """Tables whose rows see those before them."""

    name = "window"
    sample_rows = 2048

    def takes(self, schema: Schema) -> bool:
        """Takes tables with windows."""
        return schema.window is not None


class Texts(Sequences):
    """Tables with a column of text among them, in token ids."""

    name = "text"
    encoder = "bag"
    sample_rows = 2048

    def takes(self, schema: Schema) -> bool:
        """Takes data with token ids."""
        return any(spec.tokens for spec in schema.inputs)

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns known recipes, a bag of tokens with some of them hidden first."""
        makers = (hidden_tokens, convolutions, stopped, averaged, recurrent, attentive)
        return [make(start) for make in makers]


def normalized(start: Recipe) -> Recipe:
    """Deeper convolutions with skip connections and batch normalization, over a whole cycle."""
    return add(smooth_cycle(start), residual={}, depth={"layers": 4}, batch_norm={})


def hidden_tokens(start: Recipe) -> Recipe:
    """A higher rate for a whole cycle, held back by hidden tokens and dropout."""
    cycle = with_rate(smooth_cycle(start), 3e-3, 0.05)
    return add(cycle, token_dropout={"share": 0.2}, dropout={"rate": 0.2})


def convolutions(start: Recipe) -> Recipe:
    """Convolutions in place of the bag, with the same held back."""
    return add(stopped(start), encoder={"kind": "convolution"}, token_dropout={}, dropout={})


def recurrent(start: Recipe) -> Recipe:
    """Gated recurrence in both directions."""
    return add(stopped(start), encoder={"kind": "recurrent"}, dropout={})


def attentive(start: Recipe) -> Recipe:
    """A small encoder of attention, over a whole cycle with a low rate."""
    return add(
        with_rate(smooth_cycle(start), 1e-3, 0.05), encoder={"kind": "attention"}, dropout={}
    )


def bag_of_steps(start: Recipe) -> Recipe:
    """Steps in any order."""
    return add(smooth_cycle(start), encoder={"kind": "bag"}, layer_norm={})
