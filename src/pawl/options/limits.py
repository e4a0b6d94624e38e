"""What a delivered model may cost, and what it may lose to keep within that."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from pawl.options import amounts
from pawl.options.amounts import MaxLoss
from pawl.options.model import OptionsModel


class LimitOptions(OptionsModel):
    """Limits of a model, and how much of the metric may be given for them."""

    max_latency: str | float | None = Field(
        default=None,
        description="Most time of a call of the model with one thread: 2ms, 500us; 2 is 2ms.",
    )
    max_size: str | int | None = Field(
        default=None,
        description="Most bytes of the model's graph: 1MB, 500kB.",
    )
    max_memory: str | int | None = Field(
        default=None,
        description="Most memory of a process that predicts with it, Python and ONNX Runtime included: "
        "200MB.",
    )
    max_loss: str | float = Field(
        default="0.5%",
        description="How much worse the metric may become for that, at most: a share of what the model "
        "scores, as in 0.5%, or an amount in the metric's units, as in 0.005.",
    )

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

    @field_validator("max_size", "max_memory", mode="before")
    @classmethod
    def _bytes(cls, given: Any, info: Any) -> Any:
        amounts.size_bytes(info.field_name, given)
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

    @property
    def most_memory(self) -> int | None:
        """Most bytes of memory."""
        given = self.max_memory
        return None if given is None else amounts.size_bytes("max_memory", given)

    @property
    def limited(self) -> bool:
        """Whether any limit was given."""
        return any(each is not None for each in (self.most_ms, self.most_bytes, self.most_memory))
