"""What the data stage makes of one set of training rows, in the form that steps read.

The rows that train are the development rows, which all trials share, and behind them those that a
trial has of its own: rows that a technique added or changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs, InputSpec, Schema
from pawl.errors import TrialError
from pawl.kinds import KINDS
from pawl.modalities import modality_of
from pawl.recipe import Recipe
from pawl.techniques import DataTechnique, Split


@dataclass(frozen=True, eq=False)
class FittedSplit:
    """What the data stage makes of one set of training rows.

    Attributes:
        layers: What goes in front of the model, in order.
        rows: The rows that train, `[R]` int64, on the CPU: indices into the `D` development rows, and
            from `D` on into `added`.
        added: Rows of the trial's own, `None` if there are none.
        weights: How much each of the rows counts, `[R]` float32, on the CPU, 1 on average; `None` if
            all count alike.
        soft: Soft labels of the rows, `[R, ...]`, on the CPU; `None` if the targets are learned.
        offset: What is added to the outputs of the rows in their loss, `[R, O]`, on the CPU, or `None`.
        batch_size: Rows per step; never more than `R`.
        pieces: Into how many parts they are cut for the gradient; never more than they are.
        target_mean: Mean target of the rows where targets are scaled, `[*S]`; else 0.
        target_std: Their deviation, alike; else 1.
        more: Inputs that layers compute, behind the schema's.
        known: Of these, values that the rows have while they train, `[R, ...]`, on the CPU.
        limits: Least and largest value to predict, `[*S]`; `None` for any.
    """

    layers: tuple[nn.Module, ...]
    rows: Tensor
    added: Examples | None
    weights: Tensor | None
    soft: Tensor | None
    offset: Tensor | None
    batch_size: int
    pieces: int
    target_mean: Tensor
    target_std: Tensor
    more: tuple[InputSpec, ...]
    known: Inputs
    limits: tuple[Tensor, Tensor] | None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per pass over the rows; what is left over sits a pass out."""
        return len(self.rows) // self.batch_size

    def take(self, development: Examples, rows: Tensor) -> Examples:
        """Returns examples by indices like those in `rows`."""
        if self.added is None:
            return development.take(rows)
        shared, count = rows < len(development), len(development)
        found = joined(development.take(rows[shared]), self.added.take(rows[~shared] - count))
        # Back in the order that was asked for.
        order = torch.cat([shared.nonzero().flatten(), (~shared).nonzero().flatten()])
        return found.take(order.argsort())


def fit_split(
    schema: Schema,
    examples: Examples,
    recipe: Recipe,
    rows: Tensor,
    seed: int,
    *,
    own_loss: bool,
    soft: Tensor | None = None,
) -> FittedSplit:
    """Runs the data stage on training rows of the development rows.

    Args:
        schema: The data's.
        examples: The development rows.
        recipe: Its data techniques run.
        rows: The training rows, `[R]`.
        seed: What techniques that draw go by.
        own_loss: Whether the user gave the loss, which then gets targets as they are.
        soft: A teacher's labels of all development rows; see `Split.soft`.

    Raises:
        TrialError: A technique made something of them that cannot train.
    """
    layers = modality_of(schema).base_layers(schema, examples, rows)
    device = next(iter(examples.inputs.values())).device
    layers = tuple(layer.to(device) for layer in layers)
    split = Split(examples, rows, layers, schema=schema, seed=seed, soft=soft)
    for technique, settings in recipe.of_stage(DataTechnique):
        split = technique.apply(split, settings)
        problem = (
            _problem_with(split, examples)
            or _problem_with_soft(split, schema, own_loss)
            or _problem_with_offset(split, schema, own_loss)
        )
        if problem:
            raise TrialError(f"technique {technique.name!r} {problem}")
    targets = split.examples.targets
    assert targets is not None
    mean, std = KINDS[schema.kind].scale(targets[split.rows])
    if own_loss:
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    weights = None
    if split.weights is not None:
        weights = split.weights[split.rows].double()
        weights = (weights / weights.mean()).float().cpu()
    soft = None if split.soft is None else split.soft[split.rows].float().cpu()
    offset = None if split.offset is None else split.offset[split.rows].float().cpu()
    trained, added = _own_rows(examples, split)
    known = {name: x[split.rows].cpu() for name, x in split.known.items()}
    return FittedSplit(
        layers=split.layers,
        rows=trained.cpu(),
        added=added,
        weights=weights,
        soft=soft,
        offset=offset,
        batch_size=min(split.batch_size, len(trained)),
        pieces=min(split.pieces, split.batch_size, len(trained)),
        target_mean=mean,
        target_std=std,
        more=split.more,
        known=known,
        limits=split.limits,
    )


def _problem_with(split: Split, development: Examples) -> str | None:
    """Says why a split cannot train; `None` if it can."""
    rows, count = split.rows, len(split.examples)
    if len(rows) == 0:
        return "left no rows to train on"
    if int(rows.min()) < 0 or int(rows.max()) >= count:
        return f"named rows {int(rows.min())} to {int(rows.max())} of {count}"
    if split.weights is not None:
        if split.weights.shape != (count,):
            return f"gave weights {tuple(split.weights.shape)} for {count} rows"
        chosen = split.weights[rows]
        if not bool(chosen.isfinite().all() and (chosen >= 0).all() and chosen.sum() > 0):
            return "gave weights that are negative, not finite, or all 0"
    if split.examples is development:
        return None
    for name, old, new in _tensors(development, split.examples):
        if new is None or (new.dtype, new.shape[1:]) != (old.dtype, old.shape[1:]):
            got = "nothing" if new is None else f"{new.dtype} {tuple(new.shape[1:])}"
            return f"made {got} of {name}, which is {old.dtype} {tuple(old.shape[1:])} a row"
        if len(new) != count:
            return f"gave {len(new)} rows of {name} and {count} of others"
    return None


def _problem_with_soft(split: Split, schema: Schema, own_loss: bool) -> str | None:
    """Says why a split's soft labels cannot be learned; `None` if they can, or if it has none."""
    if split.soft is None:
        return None
    if own_loss or not KINDS[schema.kind].has_classes:
        return "gave soft labels, which only a built-in loss of classes can learn"
    shape = (
        len(split.examples),
        *KINDS[schema.kind].prediction_shape(schema.num_outputs, schema.places),
    )
    if tuple(split.soft.shape) != shape:
        return f"gave soft labels {list(split.soft.shape)}; they must be {list(shape)}"
    chosen = split.soft[split.rows]
    if not bool(((chosen >= 0) & (chosen <= 1)).all()):
        return "gave soft labels that are no probabilities"
    if KINDS[schema.kind].exclusive and not torch.allclose(
        chosen.sum(-1), chosen.new_ones(()), atol=1e-3
    ):
        return "gave soft labels that do not add up to 1"
    return None


def _problem_with_offset(split: Split, schema: Schema, own_loss: bool) -> str | None:
    """Says why a split's offsets cannot be added; `None` if they can, or if it has none."""
    if split.offset is None:
        return None
    if own_loss or not KINDS[schema.kind].has_classes:
        return "gave offsets, which only a built-in loss of classes can add"
    shape = (len(split.examples), schema.num_outputs)
    if tuple(split.offset.shape) != shape:
        return f"gave offsets {list(split.offset.shape)}; they must be {list(shape)}"
    finite = bool(split.offset[split.rows].isfinite().all())
    return None if finite else "gave offsets that are not finite"


def _tensors(first: Examples, second: Examples) -> list[tuple[str, Tensor, Tensor | None]]:
    """Returns the tensors of the first, inputs and targets, beside the second's."""
    assert first.targets is not None
    pairs = [(name, x, second.inputs.get(name)) for name, x in first.inputs.items()]
    return [*pairs, ("the targets", first.targets, second.targets)]


def _own_rows(development: Examples, split: Split) -> tuple[Tensor, Examples | None]:
    """Returns the training rows as `FittedSplit` has them, and those that are not development rows."""
    if split.examples is development:
        return split.rows, None
    count = len(development)
    used: Tensor = split.rows.unique()  # type: ignore[no-untyped-call]
    shared = used < count
    known = used[shared]
    for _, old, new in _tensors(development, split.examples):
        assert new is not None
        mine, theirs = (x[known].unsqueeze(-1).flatten(1) for x in (new, old))
        equal = mine == theirs
        if mine.is_floating_point():
            equal |= mine.isnan() & theirs.isnan()
        shared[: len(known)] &= equal.all(1).to(shared.device)
    place = torch.arange(len(split.examples), device=used.device)
    own = used[~shared]
    place[own] = torch.arange(count, count + len(own), device=used.device)
    return place[split.rows], split.examples.take(own) if len(own) else None


def joined(first: Examples, second: Examples) -> Examples:
    """Returns the rows of both."""
    assert first.targets is not None
    assert second.targets is not None
    inputs = {name: torch.cat([x, second.inputs[name]]) for name, x in first.inputs.items()}
    return Examples(inputs, torch.cat([first.targets, second.targets]))


@dataclass(frozen=True)
class Pool:
    """All rows that some members train on, resident.

    Attributes:
        examples: The development rows, behind them each member's own.
        rows: For each member, its training rows as indices into `examples`, on the CPU.
    """

    examples: Examples
    rows: list[Tensor]


def pool(development: Examples, fits: Sequence[FittedSplit], places: int) -> Pool:
    """Returns the rows of these members.

    Each place has room for the same power of two of own rows, so that a step that was compiled for
    some members serves others with about as many.

    Args:
        development: The development rows.
        fits: The members' splits; members may share one.
        places: How many members there may be, at least.
    """
    own = {id(fit): fit for fit in fits if fit.added is not None}
    if not own:
        return Pool(development, [fit.rows for fit in fits])
    count = len(development)
    most = max(len(fit.added) for fit in own.values() if fit.added is not None)
    room = 1 << (most - 1).bit_length()
    assert development.targets is not None
    every = Examples(
        {name: extended(x, room * max(places, len(own))) for name, x in development.inputs.items()},
        extended(development.targets, room * max(places, len(own))),
    )
    start = {}
    for position, (key, fit) in enumerate(own.items()):
        assert fit.added is not None
        start[key] = position * room
        part = slice(count + start[key], count + start[key] + len(fit.added))
        for _, tensor, more in _tensors(every, fit.added):
            assert more is not None
            tensor[part] = more
    return Pool(every, [fit.rows + (fit.rows >= count) * start.get(id(fit), 0) for fit in fits])


def extended(tensor: Tensor, count: int) -> Tensor:
    """Returns a copy with so many rows of zeros behind it."""
    return torch.cat([tensor, tensor.new_zeros(count, *tensor.shape[1:])])
