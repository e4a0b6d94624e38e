"""Requests that are refused: a status, one line, and where it can be said the cell that is meant."""

from __future__ import annotations

from typing import Any

from pawl.errors import printable


class RefusedError(Exception):
    """A request that is not answered with predictions.

    Attributes:
        status: Of HTTP.
        content: What is said: `message`, and as far as known `column`, `row` (from 1), `got`, `allowed`.
        headers: Of the answer.
        closes: Whether the connection ends with it, since the rest of the request was not read.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: int | None = None,
        closes: bool = False,
        challenge: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"status": status, "message": printable(message), **more}
        told = {"Retry-After": retry_after, "WWW-Authenticate": challenge}
        self.headers = {name: str(value) for name, value in told.items() if value is not None}
        self.closes = closes
