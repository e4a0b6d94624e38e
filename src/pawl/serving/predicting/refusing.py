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
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"status": status, "message": printable(message), **more}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.closes = closes
