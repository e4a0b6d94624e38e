"""A request's body: taken as far as the limits go, and made rows of by its type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pawl.data import ImageFile, Reading, Schema, read_csv_like, read_image_files
from pawl.errors import PawlError, option
from pawl.serving.predicting.refusing import RefusedError
from pawl.serving.predicting.rows import Rows, parse, too_many

JSON, CSV, FORM = "application/json", "text/csv", "multipart/form-data"
_AT_ONCE_BYTES = 1 << 15
"""Bodies up to that size are read where they arrive: handing them to a thread would take longer."""
_DRAINED = 4
"""Times the limit: so much of a body that is too large is read, since a client that still sends
does not see an answer."""


class GoneError(Exception):
    """Nobody waits for an answer any more."""


def accepted(schema: Schema) -> tuple[str, ...]:
    """Returns the types of bodies that a schema's rows may come in."""
    if schema.source == "table":
        return JSON, CSV
    return (JSON,) if schema.source == "arrays" else ("image/*", FORM)


async def take(headers: Mapping[str, str], receive: Any, most: int, seconds: float) -> bytes:
    """Returns a request's body.

    Raises:
        RefusedError: It is too large, or too slow.
        GoneError: The connection has ended.
    """
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isdigit() else 0
    too_large = RefusedError(
        413,
        f"the body has more than {most} bytes, which {option('max_body')} allows; send fewer rows "
        "at a time",
        allowed=most, closes=True,
    )  # fmt: skip
    if length > most and (length > _DRAINED * most or "expect" in headers):
        raise too_large
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                part = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(part)
                if size > _DRAINED * most:
                    raise too_large
                if size > most:
                    parts.clear()
                else:
                    parts.append(part)
    except TimeoutError:
        raise RefusedError(
            408, f"the body did not arrive within {seconds:g} seconds", closes=True
        ) from None
    if size > most:
        raise too_large
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Bodies:
    """Makes rows of bodies.

    Args:
        schema: How rows are read.
        most: Rows that a request may have.
        reader: Where what takes long is read.
    """

    def __init__(self, schema: Schema, most: int, reader: Executor) -> None:
        self._schema, self._most, self._reader = schema, most, reader
        self._rows = Rows(schema, most)

    async def read(self, headers: Mapping[str, str], body: bytes) -> Reading:
        """Returns a body's rows.

        Raises:
            RefusedError: It is of no type that is taken, or is not what it says, or does not fit.
        """
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        packed = headers.get("content-encoding", "identity").lower()
        if packed != "identity":
            raise RefusedError(415, f"got a body packed by {packed[:40]!r}; send it as it is")
        images = self._schema.source == "images"
        if kind not in accepted(self._schema) and not (images and kind.startswith("image/")):
            allowed = accepted(self._schema)
            got = repr(kind[:80]) if kind else "no Content-Type"
            raise RefusedError(
                415, f"got {got}; allowed are {', '.join(allowed)}", got=kind[:80], allowed=allowed
            )
        if not body:
            raise RefusedError(400, "the body is empty")
        try:
            if kind == JSON:
                return await self._json(body)
            if kind == CSV:
                return await self._threaded(self._csv, headers, body)
            files = await _files(headers, body, self._most) if kind == FORM else [
                ImageFile("image", body)
            ]  # fmt: skip
            return await self._threaded(self._images, files)
        except PawlError as error:
            raise RefusedError(422, str(error)) from None

    async def _threaded(self, read: Any, *given: Any) -> Reading:
        found: Reading = await asyncio.get_running_loop().run_in_executor(
            self._reader, read, *given
        )
        return found

    async def _json(self, body: bytes) -> Reading:
        if len(body) > _AT_ONCE_BYTES:
            return await self._threaded(self._of_json, body)
        rows = self._rows.listed(parse(body))
        return self._rows.plain(rows) or await self._threaded(self._rows.read, rows)

    def _of_json(self, body: bytes) -> Reading:
        rows = self._rows.listed(parse(body))
        return self._rows.plain(rows) or self._rows.read(rows)

    def _csv(self, headers: Mapping[str, str], body: bytes) -> Reading:
        given = parse_options_header(headers.get("content-type", ""))[1].get(b"charset")
        schema = self._schema
        if given is not None:
            schema = schema.model_copy(update={"encoding": given.decode("latin-1")})
        reading = read_csv_like(schema, body, "the body")
        if len(reading.examples) > self._most:
            raise too_many(len(reading.examples), self._most)
        return reading

    def _images(self, files: Sequence[ImageFile]) -> Reading:
        return Reading(read_image_files(self._schema, files))


async def _files(headers: Mapping[str, str], body: bytes, most: int) -> list[ImageFile]:
    """Returns the files of a form."""

    async def once() -> AsyncIterator[bytes]:
        yield body

    try:
        head = Headers({"Content-Type": headers["content-type"]})
        parser = MultiPartParser(head, once(), max_files=most, max_fields=0)  # type: ignore[arg-type]
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if "Too many files" in error.message else 400
        raise RefusedError(status, f"the form cannot be read: {error.message}") from None
    except Exception as error:  # what damaged forms make of the parser
        reason = f"{type(error).__name__}: {error}"
        raise RefusedError(400, f"the form cannot be read: {reason}") from None
    try:
        found = [
            ImageFile(each.filename or name, await each.read())
            for name, each in form.multi_items()
            if isinstance(each, UploadFile)
        ]
    finally:
        await form.close()
    if not found:
        raise RefusedError(422, "the form has no files; give images as files")
    return found
