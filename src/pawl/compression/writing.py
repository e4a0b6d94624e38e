"""The compressed bundle: the same five files, of the new model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pawl.compression.candidate import Candidate
from pawl.compression.result import RECORD, Compressed, Measured
from pawl.deployment import Bundle
from pawl.deployment.bundle import MANIFEST, manifest_of
from pawl.errors import LedgerError, option
from pawl.kinds import Conformal


def write(
    folder: Path,
    bundle: Bundle,
    final: Candidate,
    found: Compressed,
    conformal: Conformal | None = None,
) -> None:
    """Writes bundle and record into a new or empty folder, the record last.

    Args:
        folder: Where.
        bundle: The original.
        final: What is left.
        found: How it came about.
        conformal: What predictions come with.

    Raises:
        LedgerError: It cannot be written.
    """
    files = _files(bundle, final, found, conformal)
    files[MANIFEST] = manifest_of(files)
    inside, partial = folder / "bundle", folder / ".bundle"
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        partial.rename(inside)
        (folder / RECORD).write_text(found.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise LedgerError(
            f"cannot write to {str(folder)!r}: {error.strerror}; give another {option('out')}"
        ) from None
    Bundle.open(inside)


def _files(
    bundle: Bundle, final: Candidate, found: Compressed, conformal: Conformal | None
) -> dict[str, bytes]:
    def original(name: str) -> bytes:
        return (bundle.folder / name).read_bytes()

    card = original("card.md").decode()
    if not found.is_changed:
        names = ("model.onnx", "model.safetensors", "recipe.toml", "task.json")
        return {name: original(name) for name in names} | {"card.md": card.encode()}
    kept = {name: value for name, value in bundle.task.items() if name != "conformal"}
    if conformal is not None:
        kept["conformal"] = conformal.to_dict()
    steps = [{"step": s.step, "detail": s.detail} for s in found.steps if s.accepted]
    before = kept.pop("compressed", {"steps": []})["steps"]
    task = {
        **kept,
        "compressed": {"steps": [*before, *steps], "exact": final.is_exact},
        "schema": bundle.schema.model_dump(mode="json"),
    }
    return {
        "model.onnx": final.graph,
        "model.safetensors": final.weights.to_bytes(),
        "recipe.toml": final.weights.to_toml().encode(),
        "task.json": (json.dumps(task, indent=2) + "\n").encode(),
        "card.md": f"{card.rstrip()}\n\n{_section(found)}".encode(),
    }


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
    steps = "".join(f"- {s.step}: {s.detail}\n" for s in found.steps if s.accepted)
    return (
        f"## Compressed\n\n{found.statement}.\n\nWhat was said above is of the original; this is a "
        f"compressed one, shown to lose less than {found.allowed:.3g} of {found.metric}. "
        f"{found.told}.\n\n"
        f"| | original | compressed |\n|---|---|---|\n{table}\n{steps}"
    )


def _number(measured: Measured, name: str) -> str:
    return f"{getattr(measured, name):,.4g}" if name != "size_bytes" else f"{measured.size_bytes:,}"
