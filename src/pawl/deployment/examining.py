"""Whether a bundle does here what it did where it was made: files, predictions, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pawl.deployment.bundle import Bundle
from pawl.deployment.cost import BATCH_ROWS
from pawl.deployment.export import predict
from pawl.deployment.records import apart, measured_of, stored_rows
from pawl.deployment.timing import Latency, latencies
from pawl.environment import cpu_features, hardware, versions

PARITY = 1e-3
"""Largest difference of predictions, relative to the largest."""
_MUCH_SLOWER = 1.5


def examine_bundle(folder: str | Path) -> dict[str, Any]:
    """Opens a bundle, which verifies its files, and holds it to what it has on record of itself.

    Args:
        folder: The bundle, or its campaign's folder.

    Returns:
        The checks, each with whether it holds, what was seen, and whether it must hold, and latencies
        here and there; JSON-ready.

    Raises:
        BundleError: It is no bundle, incomplete, changed, or of another version.
    """
    bundle = Bundle.open(folder)
    measured, stored = measured_of(bundle.folder), stored_rows(bundle.folder)
    checks = [_found("files", "all are there, and as they were written")]
    graph = (bundle.folder / "model.onnx").read_bytes()
    here: dict[str, Any] = {}
    if stored is None:
        checks.append(_found("parity", "the bundle is older than stored rows are", ok=False))
    else:
        rows, expected = stored
        difference = apart(predict(graph, rows), expected)
        checks.append(_parity(difference, len(rows), expected, measured))
        several = int(measured.get("batch_rows", BATCH_ROWS))
        timed = {
            "latency_ms": latencies({"": graph}, rows)[""],
            "batch_latency_ms": latencies({"": graph}, rows, batch=several)[""],
        }
        here = {name: {"ms": t.median, "interval": list(t.interval)} for name, t in timed.items()}
        names = {"latency_ms": "one row", "batch_latency_ms": f"{several} rows"}
        checks += [_latency(names[name], t, measured.get(name)) for name, t in timed.items()]
    lacking = _lacking(measured)
    if lacking:
        told = f"it was measured with {', '.join(lacking)}, which this one lacks"
        checks.append(_found("processor", told, ok=False))
    elif measured:
        checks.append(
            _found("processor", "it has what the one had that the bundle was measured on")
        )
    return {
        "bundle": str(bundle.folder), "checks": checks, "here": here, "there": measured,
        "hardware": hardware(), "cpu_features": list(cpu_features()), "versions": versions(),
    }  # fmt: skip


def _found(name: str, detail: str, *, ok: bool = True, needed: bool = False) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "needed": needed}


def _parity(
    difference: float, count: int, expected: np.ndarray, measured: dict[str, Any]
) -> dict[str, Any]:
    """Says whether stored rows are predicted as they were, unless they were never predicted."""
    told = f"{count} stored rows are predicted within {difference:.2g} of what they were"
    if difference > PARITY:
        told += f", where {PARITY:g} is allowed: {_why(measured)}"
        return _found("parity", told, ok=False, needed=True)
    if np.isnan(expected).all():
        told = (
            f"this check says nothing: all predictions of the {count} stored rows, which are made up, "
            "are NaN, here and there; hold predictions of rows of your own against earlier ones"
        )
        return _found("parity", told, ok=False)
    return _found("parity", told, needed=True)


def _latency(what: str, timed: Latency, there: float | None) -> dict[str, Any]:
    low, high = timed.interval
    told = f"{what}: {timed.median:.3g} ms here (95% {low:.3g} to {high:.3g})"
    if not there:
        return _found("latency", f"{told}; nothing is on record to hold it to")
    slower = low > _MUCH_SLOWER * there
    return _found("latency", f"{told}, {there:.3g} ms on record", ok=not slower)


def _lacking(measured: dict[str, Any]) -> list[str]:
    return sorted(set(measured.get("cpu_features", ())) - set(cpu_features()))


def _why(measured: dict[str, Any]) -> str:
    """Says what is unlike where the bundle was made."""
    there, here = measured.get("versions", {}), versions()
    unlike = [
        f"{name} is {here.get(name, 'missing')} here and was {there[name]}"
        for name in ("onnxruntime",)
        if name in there and there[name] != here.get(name)
    ]
    if lacking := _lacking(measured):
        unlike.append(f"this processor lacks {', '.join(lacking)}")
    return "; ".join(unlike) or "what computes here is not known to differ; make the bundle anew"
