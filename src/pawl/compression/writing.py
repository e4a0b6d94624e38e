"""The compressed bundle: the same five files, of the new model."""

from __future__ import annotations

import json
import shutil
from typing import Any

from pawl.compression.result import RECORD, Compressed, Measured
from pawl.compression.run import Pressed
from pawl.deployment import Bundle, Costs
from pawl.deployment.bundle import FILES, MANIFEST, manifest_of
from pawl.deployment.records import CHECK, MEASURED, check_rows, measured_of
from pawl.errors import LedgerError, option


def write(bundle: Bundle, pressed: Pressed) -> None:
    """Writes bundle and record into the new or empty folder of a compression, the record last.

    Args:
        bundle: The original.
        pressed: What is left, and how it came about.

    Raises:
        LedgerError: It cannot be written.
    """
    folder = pressed.found.folder
    inside, partial = folder / "bundle", folder / ".bundle"
    try:
        partial.mkdir(parents=True)
        for name, data in files_of(bundle, pressed).items():
            (partial / name).write_bytes(data)
        partial.rename(inside)
        (folder / RECORD).write_text(pressed.found.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise LedgerError(
            f"cannot write to {str(folder)!r}: {error.strerror}; give another {option('out')}"
        ) from None
    Bundle.open(inside)


def files_of(bundle: Bundle, pressed: Pressed) -> dict[str, bytes]:
    """Returns the files of a compressed bundle by name, the manifest last.

    Args:
        bundle: The original.
        pressed: What is left.
    """
    files = _files(bundle, pressed)
    return {**files, MANIFEST: manifest_of(files)}


def _files(bundle: Bundle, pressed: Pressed) -> dict[str, bytes]:
    found, final, conformal = pressed.found, pressed.final, pressed.conformal

    def original(name: str) -> bytes:
        return (bundle.folder / name).read_bytes()

    card = original("card.md").decode()
    if not found.is_changed:
        files = {name: original(name) for name in FILES if (bundle.folder / name).is_file()}
        if found.runtime:
            known = {**measured_of(bundle.folder), "runtime": found.runtime}
            files[MEASURED] = _json(known)
            files.setdefault(CHECK, check_rows(bundle.schema, final.graph))
        return files
    kept = {name: value for name, value in bundle.task.items() if name != "conformal"}
    if conformal is not None:
        kept["conformal"] = conformal.to_dict()
    steps = [{"step": s.step, "detail": s.detail} for s in found.kept]
    before = kept.pop("compressed", {"steps": []})["steps"]
    costs = Costs(found.final.latency_ms, found.final.batch_latency_ms, found.batch_rows)
    lost = {"metric": found.metric, "at_most": found.lost_at_most}
    task = {
        **kept,
        "compressed": {
            "steps": [*before, *steps],
            "exact": final.is_exact,
            **({} if found.lost_at_most is None else {"lost": lost}),
        },
        "schema": bundle.schema.model_dump(mode="json"),
    }
    return {
        "model.onnx": final.graph,
        "model.safetensors": final.weights.to_bytes(),
        "recipe.toml": final.weights.to_toml().encode(),
        "task.json": _json(task),
        "card.md": f"{card.rstrip()}\n\n{_section(found)}".encode(),
        CHECK: check_rows(bundle.schema, final.graph),
        MEASURED: _json({**costs.here(), **({"runtime": found.runtime} if found.runtime else {})}),
    }


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _section(found: Compressed) -> str:
    rows = [
        ("latency of one row (ms, one thread)", "latency_ms"),
        (f"latency of {found.batch_rows} rows (ms, one thread)", "batch_latency_ms"),
        ("bytes of the graph", "size_bytes"),
        (f"{found.metric} on {found.rows:,} rows", "value"),
    ]
    table = "".join(
        f"| {text} | {_number(found.original, name)} | {_number(found.final, name)} |\n"
        for text, name in rows
    )
    steps = "".join(f"- {s.step}: {s.detail}\n" for s in found.kept)
    return (
        f"## Compressed\n\n{found.statement}.\n\nWhat was said above is of the original; this is a "
        f"compressed one, shown to lose less than {found.allowed:.3g} of {found.metric}. "
        f"{found.told[:1].upper()}{found.told[1:]}.\n\n"
        f"| | original | compressed |\n|---|---|---|\n{table}\n{steps}{_told(found)}"
    )


def _told(found: Compressed) -> str:
    said = [*found.notes, *([found.disturbed] if found.disturbed else [])]
    notes = "".join(f"\n{note[:1].upper()}{note[1:]}.\n" for note in said)
    if found.changes is None:
        return notes
    told = f"\n{found.changes.statement}."
    if (calibration := found.changes.calibration) is not None:
        told += (
            f" Calibration error {calibration.before:.3g} before, {calibration.after:.3g} after."
        )
    return f"{notes}{told}\n"


def _number(measured: Measured, name: str) -> str:
    return f"{getattr(measured, name):,.4g}" if name != "size_bytes" else f"{measured.size_bytes:,}"
