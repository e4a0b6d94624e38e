"""TensorBoard's event files, written without TensorBoard: a folder for each training.

A file is a row of records: the length of an event (8 bytes, little-endian), a checksum of these, the
event, a checksum of it. An event is a protocol buffer of a time, a step and named values. See
`tensorflow/core/util/event.proto`, `framework/summary.proto` and `lib/io/record_writer.h` (TensorFlow).
"""

from __future__ import annotations

import functools
import json
import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from pawl.errors import printable
from pawl.report.text import finite
from pawl.serving.reading import Curve, Known, Trial

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reversed
_MASK = 0xA282EAD8
_STRING = 7  # DT_STRING


@functools.cache
def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)  # noqa: PLW2901
        found.append(byte)
    return tuple(found)


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, found = _table(), 0xFFFFFFFF
    for byte in data:
        found = table[(found ^ byte) & 0xFF] ^ (found >> 8)
    return found ^ 0xFFFFFFFF


def record(event: bytes) -> bytes:
    """Returns an event as a file holds it."""
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: int | float | bytes | str) -> bytes:
    """Returns a field: whole numbers as varints, texts and messages by length, others as doubles."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def event(step: int, values: Iterable[bytes]) -> bytes:
    """Returns an event of named values (`scalar`, `text`) at a step."""
    summary = b"".join(_field(1, value) for value in values)
    return _field(1, time.time()) + _field(2, step) + _field(5, summary)


def scalar(name: str, value: float) -> bytes:
    """Returns a named number."""
    return _field(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value)


def text(name: str, value: str) -> bytes:
    """Returns a named text."""
    shape = _field(2, _field(1, 1))  # one axis of one
    tensor = _field(1, _STRING) + _field(2, shape) + _field(8, value)
    plugin = _field(1, _field(1, "text"))
    return _field(1, name) + _field(9, plugin) + _field(8, tensor)


class TensorBoard:
    """Writes each training into a folder of its own.

    Args:
        folder: Where; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def trial(self, known: Known, trial: Trial, curve: Curve, layers: dict[str, Any]) -> None:
        """Writes loss and score over steps, what layers did, final scores, and the recipe."""
        metric = known.metric or "score"
        with self._file(known, f"{trial.phase}-{trial.id:05d}") as file:
            for step, loss, score in curve:
                named = {"train_loss": loss, f"valid_{metric}": score}
                _write(file, int(step), named)
            for at, step in enumerate(layers.get("steps", ())):
                _write(file, int(step), _of_layers(layers, at))
            last = {"final/validation": trial.score, "final/held_out": trial.holdout}
            _write(file, trial.steps, last)
            told = f"{trial.role}, {trial.status} {trial.reason}\n\n```\n{_indented(trial.recipe)}\n```"
            file.write(record(event(trial.steps, [text("recipe", told)])))

    def ended(self, known: Known) -> None:
        """Writes what the campaign found."""
        found = known.summary or {}
        gain = found.get("gain") or {}
        with self._file(known, "campaign") as file:
            value = gain.get("value")
            _write(file, 0, {"campaign/gain": value})
            told = str(gain.get("statement") or found.get("statement") or "")
            file.write(record(event(0, [text("campaign/statement", told)])))

    def close(self) -> None:
        """Nothing is held back."""

    def _file(self, known: Known, name: str) -> BinaryIO:
        """Opens a file of events, which begins with the version of its form."""
        folder = self._folder / _plain(known.name) / _plain(name)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}.pawl"
        file = path.open("wb")
        file.write(record(_field(1, time.time()) + _field(3, "brain.Event:2")))
        return file


def _write(file: BinaryIO, step: int, named: dict[str, float | None]) -> None:
    values = [scalar(n, float(v)) for n, v in named.items() if v is not None and finite(v)]
    if values:
        file.write(record(event(step, values)))


def _of_layers(layers: dict[str, Any], at: int) -> dict[str, float | None]:
    return {
        f"{what}/{name}": value
        for what in ("gradients", "moved", "norms")
        for name, value in zip(layers["names"], layers[what][at], strict=False)
    }


def _indented(recipe: dict[str, Any]) -> str:
    return json.dumps(recipe, indent=1, default=str)


def _plain(name: str) -> str:
    """Returns a name as one part of a path."""
    kept = "".join(c if c.isalnum() or c in "-_. " else "-" for c in printable(name))
    return kept.strip(". ")[:80] or "campaign"
