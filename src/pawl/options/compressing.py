"""Options of `compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pawl.options import amounts
from pawl.options.amounts import MaxLoss
from pawl.options.model import Whole
from pawl.options.shared import LISTENER, SeedOptions


class CompressCall(SeedOptions):
    """What `compress` takes beside a bundle and rows."""

    out: str | Path = Field(
        description="Folder for the new bundle and compress.json, new or empty."
    )
    max_loss: str | float = Field(
        default="0.5%",
        description="How much worse the metric may become, at most: a share of what the bundle scores, "
        "as in 0.5%, or an amount in the metric's units, as in 0.005.",
    )
    max_latency: str | float | None = Field(
        default=None,
        description="Most time of a call with one thread: 2ms, 500us; alone, speed is what counts.",
    )
    max_size: str | int | None = Field(
        default=None,
        description="Most bytes of the graph: 1MB, 500kB; alone, size is what counts.",
    )
    batch: Whole = Field(
        default=1, ge=1, le=65536, description="Rows of a call whose latency counts."
    )
    metric: Any = Field(
        default=None,
        description="What is measured, where that was a function of your own.",
        json_schema_extra={"python_only": True},
    )
    model: Any = Field(
        default=None,
        description="What makes your own model, as the campaign was given it.",
        json_schema_extra={"python_only": True},
    )
    listener: Any = LISTENER

    @field_validator("max_loss", mode="before")
    @classmethod
    def _loss(cls, given: Any) -> Any:
        amounts.max_loss("max_loss", given)
        return given

    @field_validator("max_latency", mode="before")
    @classmethod
    def _latency(cls, given: Any) -> Any:
        amounts.milliseconds("max_latency", given)
        return given

    @field_validator("max_size", mode="before")
    @classmethod
    def _size(cls, given: Any) -> Any:
        amounts.size_bytes("max_size", given)
        return given

    @property
    def allowed(self) -> MaxLoss:
        """How much worse the metric may become."""
        return amounts.max_loss("max_loss", self.max_loss)

    @property
    def most_ms(self) -> float | None:
        """Most milliseconds of a call."""
        given = self.max_latency
        return None if given is None else amounts.milliseconds("max_latency", given)

    @property
    def most_bytes(self) -> int | None:
        """Most bytes of the graph."""
        given = self.max_size
        return None if given is None else amounts.size_bytes("max_size", given)
