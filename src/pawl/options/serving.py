"""Options of `serve --predict`."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from pawl import budget as budgets
from pawl.errors import TaskError, option
from pawl.options import amounts
from pawl.options.model import OptionsModel, Whole

TOKEN_VARIABLE = "PAWL_TOKEN"
NEW_TOKEN = "new"
_LARGE = 2**31 - 1
_SHORTEST = 16
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/=]{16,256}")


class PredictionServerCall(OptionsModel):
    """What serving a bundle's predictions takes beside the bundle."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen at; 0.0.0.0 for all of this machine's. See --token.",
    )
    port: Whole = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    token: str | None = Field(
        default=None,
        description="Answer only requests with the header 'Authorization: Bearer TOKEN'. 'new' makes "
        f"one and says it. {TOKEN_VARIABLE} in the environment does the same, unseen by other users.",
        repr=False,
    )
    max_batch: Whole = Field(
        default=256, ge=1, le=_LARGE, description="Most rows of several requests computed at once."
    )
    max_wait: str | float = Field(
        default="0ms",
        description="How long a row waits for others to be computed with, if nothing is being computed: "
        "2ms, 500us.",
    )
    max_queue: Whole = Field(
        default=4096, ge=1, le=_LARGE, description="Most rows that wait; more are answered 503."
    )
    max_rows: Whole = Field(
        default=10_000,
        ge=1,
        le=_LARGE,
        description="Most rows of a request; more are answered 413.",
    )
    max_body: str | int = Field(
        default="16MB", description="Most bytes of a request; more are answered 413."
    )
    timeout: str | int | float = Field(
        default="30s",
        description="How long a request may take to arrive (else 408), and to be computed (else 503).",
    )
    max_connections: Whole = Field(
        default=1000, ge=1, le=_LARGE, description="Most connections; more are answered 503."
    )
    threads: Whole | None = Field(
        default=None, ge=1, le=1024, description="Threads of ONNX Runtime; by default all cores."
    )

    @field_validator("token", mode="before")
    @classmethod
    def _token(cls, given: Any) -> Any:
        if given in (None, NEW_TOKEN) or (isinstance(given, str) and _TOKEN.fullmatch(given)):
            return given
        raise TaskError(  # which does not say it
            f"got a token of {len(str(given))} character(s); give 16 to 256 letters, digits and "
            f"-._~+/=, or {option('token', NEW_TOKEN)}"
        )

    @field_validator("max_wait", mode="before")
    @classmethod
    def _wait(cls, given: Any) -> Any:
        _milliseconds(given)
        return given

    @field_validator("max_body", mode="before")
    @classmethod
    def _body(cls, given: Any) -> Any:
        amounts.size_bytes("max_body", given)
        return given

    @field_validator("timeout", mode="before")
    @classmethod
    def _timeout(cls, given: Any) -> Any:
        try:
            budgets.parse(given)
        except TaskError:
            raise TaskError(
                f"got {option('timeout', given)}; write it as 30s or 2m, above zero"
            ) from None
        return given

    @property
    def wait_seconds(self) -> float:
        """How long a row waits for others."""
        return _milliseconds(self.max_wait) / 1e3

    @property
    def body_bytes(self) -> int:
        """Most bytes of a request."""
        return amounts.size_bytes("max_body", self.max_body)

    @property
    def seconds(self) -> float:
        """How long a request may take to arrive, and to be computed."""
        return budgets.parse(self.timeout)


def _milliseconds(given: Any) -> float:
    return 0.0 if given in (0, "0", "0ms", "0s") else amounts.milliseconds("max_wait", given)
