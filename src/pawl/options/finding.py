"""Options of `find_rate` and `find_batch_size`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from pawl.options.campaign import RunOptions
from pawl.options.model import Whole
from pawl.options.shared import LISTENER


class FindOptions(RunOptions):
    """What both take beside a source."""

    recipe: Any = Field(
        default=None,
        description="The recipe to try it with, or its TOML file; by default the baseline of a "
        "campaign on this data.",
    )
    picture: str | Path | None = Field(
        default=None, description="SVG file to draw what was found to; none by default."
    )
    listener: Any = LISTENER


class FindRateCall(FindOptions):
    """What `find_rate` takes beside a source."""

    folds: Whole | None = Field(
        default=None,
        ge=2,
        le=20,
        description="Train to the end on so many folds at each rate, and score each on the rows held "
        "out; a range test of short trainings by default.",
    )
    lowest: float | None = Field(
        default=None, ge=1e-8, le=1e3, description="Lowest rate; the optimizer's least by default."
    )
    highest: float | None = Field(
        default=None, ge=1e-8, le=1e3, description="Highest rate; the optimizer's most by default."
    )
    rates: Whole | None = Field(
        default=None,
        ge=3,
        le=200,
        description="How many rates, by equal factors; 25 by default, with folds 9.",
    )
    steps: Whole = Field(
        default=60, ge=12, le=10_000, description="Steps of a training of the range test."
    )
    seeds: Whole = Field(
        default=2, ge=1, le=50, description="Trainings at each rate of the range test."
    )
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="With folds, passes of a training over its rows; by their number by default.",
    )


class FindBatchSizeCall(FindOptions):
    """What `find_batch_size` takes beside a source."""

    smallest: Whole = Field(default=16, ge=1, le=2**20, description="Smallest batch, in rows.")
    largest: Whole | None = Field(
        default=None,
        ge=1,
        le=2**20,
        description="Largest batch, in rows; by default a quarter of the training rows, at most 4096.",
    )
    steps: Whole = Field(
        default=100,
        ge=10,
        le=10_000,
        description="Steps that train before the noise of gradients is measured.",
    )
