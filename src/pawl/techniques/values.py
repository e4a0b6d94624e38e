"""What the stages of a trial hand on: rows, batches, targets, and what is known of a step.

Shape legend: `E` examples, `R` rows, `N` members, `B` rows of a batch, `P` weights of a model, `O`
outputs of a model, `S` the shape of a row's target.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Examples, Inputs, InputSpec, Schema
from pawl.kinds import KindName
from pawl.models.layout import Layout

_PARTNER = "partner."
_LEAST = 1e-12


@dataclass(frozen=True)
class Split:
    """One trial's data on its way through the data stage.

    A technique may change what trains: leave rows out, name one twice, weigh them, give them soft
    labels, change them or add some. It changes nothing else: evaluations and the deployed model get
    rows as they were read. Its layers may compute further inputs of a row (`with_input`).

    Attributes:
        examples: All rows, raw: `E`, the development rows first.
        rows: Indices of the training rows, `[R]`, at least one; only these may be looked at to fit
            anything.
        layers: What goes in front of the model, in order.
        batch_size: Rows per step.
        pieces: Into how many parts a step's rows are cut, of which the gradient is computed one after
            the other; it stays the mean over all rows.
        weights: How much each of the examples counts, `[E]` float32, none below 0; `None` if all
            count alike. Only their ratios matter: over the training rows they are scaled to a mean
            of 1, and the loss of a batch is the mean of its rows' losses, each times its weight. (The
            gradient is; the loss on record is the one without weights, and so can be compared.)
        soft: Probabilities of the classes to learn in place of the targets, `[E, *S, O]` float32 (of
            labels: `[E, O]`), as a teacher or several annotators give them; `None` for the targets.
        schema: The data's; `None` where it is not known.
        seed: The member's; only for techniques that say that they draw.
        more: Inputs that layers compute, behind the schema's.
        known: Of these, values that rows have while they train, `[E, ...]`, in place of what the layer
            computes: where that comes from the row's own target.
        limits: Least and largest value to predict, `[*S]`, where values are; `None` for any.
        offset: What is added to the model's outputs of each example in its loss, and nowhere else,
            `[E, O]` float32, the same at all places of a row; `None` for nothing.
    """

    examples: Examples
    rows: Tensor
    layers: tuple[nn.Module, ...]
    batch_size: int = 128
    pieces: int = 1
    weights: Tensor | None = None
    soft: Tensor | None = None
    schema: Schema | None = None
    seed: int = 0
    more: tuple[InputSpec, ...] = ()
    known: Inputs = field(default_factory=dict)
    limits: tuple[Tensor, Tensor] | None = None
    offset: Tensor | None = None

    def key(self, name: str) -> Tensor:
        """Returns a random key of the seed's, `[]` on the CPU, for a technique that draws.

        See `pawl.rng`.
        """
        return torch.tensor(rng.derive_seed("data", name, self.seed), dtype=torch.int32)

    @property
    def device(self) -> torch.device:
        """Where the examples are, and the layers; what says which rows train is on the CPU."""
        return next(iter(self.examples.inputs.values())).device

    def with_input(self, spec: InputSpec, layer: nn.Module, known: Tensor | None = None) -> Split:
        """Returns the split with a further input, numbers that a layer computes of the others.

        Args:
            spec: Of the input; its name must be new.
            layer: Puts it among the inputs; where it is there already, it leaves it.
            known: Its values while rows train, `[E, ...]`; what the layer computes by default.
        """
        return replace(
            self,
            layers=(*self.layers, layer.to(self.device)),
            more=(*self.more, spec),
            known=self.known if known is None else {**self.known, spec.name: known},
        )

    def add(self, more: Examples, soft: Tensor | None = None) -> Split:
        """Returns the split with further rows that train; they weigh what the others do on average.

        So with their offsets.

        Args:
            more: `R'` rows with targets and with the same inputs as `examples`, raw.
            soft: Their soft labels, needed where the split has such.
        """
        inputs = {
            name: torch.cat([x, more.inputs[name]]) for name, x in self.examples.inputs.items()
        }
        assert self.examples.targets is not None
        assert more.targets is not None
        assert not self.known
        targets = torch.cat([self.examples.targets, more.targets])
        fresh = torch.arange(len(self.examples), len(targets), device=self.rows.device)
        weights, labels, offset = self.weights, self.soft, self.offset
        if weights is not None:
            mean = weights[self.rows].mean()
            weights = torch.cat([weights, mean.expand(len(more))])
        if offset is not None:
            mean = offset[self.rows].mean(0)
            offset = torch.cat([offset, mean.expand(len(more), -1)])
        if labels is not None:
            assert soft is not None
            labels = torch.cat([labels, soft])
        return replace(
            self,
            examples=Examples(inputs, targets),
            rows=torch.cat([self.rows, fresh]),
            weights=weights,
            soft=labels,
            offset=offset,
        )

    def chunks(self, size: int = 4096) -> Iterator[Inputs]:
        """Yields the training rows, as the layers so far leave them, in chunks of `size`."""
        for rows in torch.split(self.rows, size):
            with torch.no_grad():
                inputs = self.examples.take(rows).inputs
                inputs |= {name: x[rows].to(self.device) for name, x in self.known.items()}
                for layer in self.layers:
                    inputs = layer(inputs)
            yield inputs


@dataclass(frozen=True)
class Targets:
    """What the rows of a batch are to be taught.

    In the batch stage tensors have the member axis `N` in front; the loss sees one member's.

    Attributes:
        values: `[N, B, *S]`, values in units of the training rows' deviation.
        weights: How much each row counts, `[N, B]`, or `None` if all count alike.
        soft: Probabilities of the classes in place of the values, `[N, B, *S, O]`, or `None`.
        offset: What is added to the outputs before the loss sees them, `[N, B, O]`, or `None`.
        progress: Share of the training's steps that were taken before, from 0 to below 1, alike for the
            rows of a batch, `[N, B]`; there where a technique acts on batches or losses.
        partner: Targets that share the loss (mixup, CutMix), alike, or `None`.
        share: Of these targets in each row's loss, the rest being the partner's, `[N, B]`; there if
            `partner` is. A loss of the user's own that gives one number for a batch is mixed by the
            mean share: a technique whose shares differ by row does not fit it.
    """

    values: Tensor
    weights: Tensor | None = None
    soft: Tensor | None = None
    offset: Tensor | None = None
    progress: Tensor | None = None
    partner: Targets | None = None
    share: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Targets:
        """Returns targets with all that there is for each row changed alike."""

        def changed(x: Tensor | None) -> Tensor | None:
            return None if x is None else change(x)

        return Targets(
            change(self.values), changed(self.weights), changed(self.soft), changed(self.offset),
            changed(self.progress), None if self.partner is None else self.partner.map(change),
            changed(self.share),
        )  # fmt: skip

    def mixed(self, share: Tensor) -> Targets:
        """Returns targets that share the loss with the row's before in the batch.

        Args:
            share: Of each row's own targets, `[N, B]`, mixed or not; likewise of the row before.
        """
        return self._beside(self.map(lambda x: x.roll(1, dims=1)), share)

    def _beside(self, other: Targets, share: Tensor) -> Targets:
        """Returns targets that share the loss with others; what they are mixed of keeps its shares."""
        if self.partner is None or self.share is None:
            return replace(self, partner=other, share=share)
        own = share * self.share
        rest = 1.0 - own
        theirs = torch.where(rest > 0, (share - own) / rest.clamp_min(_LEAST), 0.0)
        return replace(self, partner=self.partner._beside(other, theirs), share=own)

    def tensors(self) -> dict[str, Tensor]:
        """Returns what is there by name; `of` reads it back (`vmap` takes tensors only)."""
        own = {
            "values": self.values, "weights": self.weights, "soft": self.soft, "offset": self.offset,
            "progress": self.progress, "share": self.share,
        }  # fmt: skip
        named = {name: tensor for name, tensor in own.items() if tensor is not None}
        if self.partner is not None:
            named |= {f"{_PARTNER}{name}": x for name, x in self.partner.tensors().items()}
        return named

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Targets:
        """Returns the targets that `tensors` wrote."""
        theirs = {
            name.removeprefix(_PARTNER): x
            for name, x in tensors.items()
            if name.startswith(_PARTNER)
        }
        return cls(
            tensors["values"], tensors.get("weights"), tensors.get("soft"), tensors.get("offset"),
            tensors.get("progress"),
            cls.of(theirs) if theirs else None, tensors.get("share"),
        )  # fmt: skip


@dataclass(frozen=True)
class FitRows:
    """All training rows at once, for what fits in one go.

    Attributes:
        kind: What is predicted.
        inputs: As the front layers leave them, `[R, ...]`, on the CPU.
        targets: `[R, *S]`, on the CPU; values in units of the rows' deviation.
        weights: How much each row counts, `[R]`, or `None` if all count alike.
        stopping: Inputs and targets of the rows to stop by, alike; `None` if there are none.
    """

    kind: KindName
    inputs: Inputs
    targets: Tensor
    weights: Tensor | None = None
    stopping: tuple[Inputs, Tensor] | None = None

    def take(self, places: Tensor) -> FitRows:
        """Returns those of the training rows, `[R']`; those to stop by stay."""
        weights = None if self.weights is None else self.weights[places]
        inputs = {name: x[places] for name, x in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets[places], weights=weights)

    def joined(self) -> FitRows:
        """Returns the same with the rows to stop by behind those that train; they weigh the mean."""
        if self.stopping is None:
            return self
        inputs, targets = self.stopping
        weights = self.weights
        if weights is not None:
            weights = torch.cat([weights, weights.mean().expand(len(targets))])
        return FitRows(
            self.kind,
            {name: torch.cat([x, inputs[name]]) for name, x in self.inputs.items()},
            torch.cat([self.targets, targets]),
            weights,
        )


@dataclass(frozen=True)
class Batch:
    """A population's batch.

    Attributes:
        inputs: Tensors `[N, B, ...]`, as the front layers leave them (raw, for a technique that acts
            before these).
        targets: What they are to be taught.
    """

    inputs: Inputs
    targets: Targets

    def parts(self, pieces: int) -> Iterator[tuple[float, Batch]]:
        """Yields the batch in so many parts of about equal size, each with its share of the rows."""
        size = self.targets.values.shape[1]
        pieces = min(pieces, size)
        ends = [size * i // pieces for i in range(pieces + 1)]
        for start, end in itertools.pairwise(ends):
            part = functools.partial(_cut, slice(start, end))
            inputs = {name: part(x) for name, x in self.inputs.items()}
            yield (end - start) / size, Batch(inputs, self.targets.map(part))


def _cut(rows: slice, x: Tensor) -> Tensor:
    return x[:, rows]


@dataclass(frozen=True)
class StepContext:
    """What is known of a population's step.

    Attributes:
        rate: Learning rates, schedule included, `[N]`.
        step: Steps taken, this one included, `[N]` float32.
        total: Steps of the whole trial, `[N]` float32.
        layout: Where each weight tensor lies among the `P` weights.
        before: The weights before the optimizer's step, `[N, P]`; there where a technique of the weights
            stage asks for them.
    """

    rate: Tensor
    step: Tensor
    total: Tensor
    layout: Layout
    before: Tensor | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class GradientContext(StepContext):
    """What a gradient technique gets beside gradients and weights.

    Attributes:
        step_key: The step's random key, `[N]` int32; techniques take `key`.
        salt: Sets a technique's random numbers apart from others'.
        gradients_at: Returns the gradients `[N, P]` of this step's batch at other weights `[N, P]`, as
            sharpness-aware minimization needs them. Dropout draws what it drew before, and what the
            model keeps of its batches (the statistics of batch normalization) is left as it is.
        gradients_by_row: Returns the gradients of each row's own loss, `[N, B, P]`. Their mean is the
            batch's gradient where rows count alike and nothing in the model mixes them. Takes `B` times
            the memory of a gradient, and dropout draws anew for each row.
    """

    step_key: Tensor
    salt: int
    gradients_at: Callable[[Tensor], Tensor]
    gradients_by_row: Callable[[], Tensor]

    @property
    def key(self) -> Tensor:
        """A random key of the technique's own for this step, `[N]` int32; see `pawl.rng`."""
        return rng.fold(self.step_key, self.salt)
