"""Rows per step."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import Field

from pawl.techniques.record import Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class BatchSizeSettings(Settings):
    """Settings of `batch_size`."""

    size: int = Field(
        128,
        ge=1,
        le=2**20,
        description="rows per step",
        json_schema_extra={"choices": [32, 64, 128, 256, 512]},
    )


def batch_size(split: Split, settings: Any) -> Split:
    """Sets the number of rows per step; fewer training rows than that make one batch.

    So a size above their number is full-batch gradient descent: with `sgd`, the plain one.
    """
    return dataclasses.replace(split, batch_size=settings.size)


TECHNIQUE = DataTechnique(
    name="batch_size",
    summary="Number of rows per optimization step.",
    reference="Shallue et al., Measuring the Effects of Data Parallelism, JMLR 2019",
    apply=batch_size,
    settings=BatchSizeSettings,
)
