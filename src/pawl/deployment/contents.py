"""What the JSON files of a bundle must hold for pawl to use them; what else they hold is left as it is.

Digests that fit do not make the content right: whoever changes a file can change its digest, too.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pawl.data.types import Schema
from pawl.errors import first_line
from pawl.kinds import Conformal

Unreadable = (ValueError, TypeError, KeyError)
"""What reading such a file raises."""


class _Content(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Compressed(_Content):
    exact: bool = True
    steps: list[dict[str, Any]] = []
    lost: dict[str, Any] = {}


class _Task(_Content):
    shift: float | None = None
    codes: dict[str, int] = {}
    start: dict[str, Any] | None = None
    conformal: dict[str, Any] | None = None
    compressed: _Compressed = _Compressed()


class _Used(_Content):
    family: str
    threads: int = Field(default=1, ge=1)
    level: Literal["all", "extended", "basic"] = "all"
    mode: Literal["sequential", "parallel"] = "sequential"


class _Runtime(_Content):
    used: _Used | None = None
    cpu_features: list[str] = []


class _Measured(_Content):
    latency_ms: float | None = None
    batch_latency_ms: float | None = None
    batch_rows: int = Field(default=1, ge=1)
    cpu_features: list[str] = []
    versions: dict[str, str] = {}
    runtime: _Runtime | None = None


def read_task(data: bytes) -> tuple[Schema, dict[str, Any]]:
    """Returns the schema of a `task.json`, and the rest of it.

    Raises:
        ValueError, TypeError, KeyError: It holds anything else; see `reason`.
    """
    task = _object(data)
    schema = Schema.model_validate(task.pop("schema", {}))
    kept = _Task.model_validate(task)
    if task.get("conformal") is not None:
        Conformal.from_dict(task["conformal"])
    others = sorted(set(kept.codes) - {spec.name for spec in schema.inputs})
    if others:
        raise ValueError(f"codes are of {others[0]!r}, which is no input")
    return schema, task


def read_measured(data: bytes) -> dict[str, Any]:
    """Returns what a `measured.json` holds.

    Raises:
        ValueError, TypeError, KeyError: It holds anything else; see `reason`.
    """
    measured = _object(data)
    _Measured.model_validate(measured)
    return measured


def reason(error: Exception) -> str:
    """Returns what is wrong with such a file: of several values the first that is, and where."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    said = str(first["msg"]).removeprefix("Value error, ").partition(" or instance of")[0]
    return f"{where}: {said}" if where else said


def _object(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise TypeError("it holds no JSON object")
    return found
