"""Made-up rows that fit a schema, for where a model is built and the data is not there."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.data.types import Examples, InputSpec, Schema
from pawl.kinds import KINDS

_GAPS = 0.1


def template(schema: Schema, rows: int, seed: int = 0) -> Examples:
    """Returns random rows of a schema: normal numbers, with gaps where there may be some, codes, tokens.

    Args:
        schema: Of the rows.
        rows: How many.
        seed: Of the generator.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = {spec.name: _input(spec, rows, generator) for spec in schema.inputs}
    kind = KINDS[schema.kind]
    shape = (rows, *schema.places)
    if kind.target_axes and not kind.has_places:
        shape = (rows, len(schema.targets))
    if kind.has_classes:
        most = schema.num_outputs if kind.exclusive else 2
        targets = torch.randint(most, shape, generator=generator).to(kind.target_dtype)
    else:
        targets = torch.randn(shape, generator=generator)
    return Examples(inputs, targets)


def _input(spec: InputSpec, rows: int, generator: torch.Generator) -> Tensor:
    shape = (rows, *spec.shape)
    if spec.is_mask:
        return torch.ones(shape, dtype=getattr(torch, spec.dtype))
    if spec.cardinalities:
        return torch.stack(
            [torch.randint(most, (rows,), generator=generator) for most in spec.cardinalities], -1
        )
    if spec.tokens:
        ids = torch.randint(1, spec.tokens, shape, generator=generator)
        lengths = torch.randint(1 + spec.shape[0], (rows, 1), generator=generator)
        return torch.where(torch.arange(spec.shape[0]) < lengths, ids, 0)
    if spec.dtype == "uint8":
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    if spec.dtype == "int64":
        low, high = spec.span
        return torch.randint(low, high + 1, shape, generator=generator)
    values = torch.randn(shape, generator=generator)
    if any(spec.missing):
        gaps = torch.rand(shape, generator=generator) < _GAPS
        values[gaps & torch.tensor(spec.missing)] = torch.nan
    return values
