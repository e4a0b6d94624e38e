"""`export`: a bundle's model in a form that others load, checked by loading it."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from pawl.data.templates import template
from pawl.data.types import Examples, Schema
from pawl.deployment.bundle import Bundle
from pawl.deployment.export import predict, session
from pawl.deployment.export_cards import HOW
from pawl.deployment.predictions import unshifted
from pawl.deployment.raw_graphs import raw_feed, raw_graph, raw_outputs
from pawl.deployment.rebuilding import rebuilt
from pawl.deployment.records import apart, stored_rows
from pawl.errors import BundleError, LedgerError, did_you_mean, first_line, option
from pawl.kinds import KINDS
from pawl.ledger import place_of
from pawl.models import Trees, lengths_kept, masks_taken
from pawl.task import ModelFactory

_TOLERANCE = 1e-3
_SAMPLE = 64
_NEAR = 1e-4
"""Labels may differ where the two best classes are this near."""


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Attributes:
        folder: Where.
        form: `onnx`, `torch-export` or `safetensors`.
        files: Their names.
        rows: On how many rows what was loaded again was compared with the bundle.
        apart: The largest difference, relative to the largest prediction.
    """

    folder: Path
    form: str
    files: tuple[str, ...]
    rows: int
    apart: float


def export(
    bundle: Any, to: str, out: str | Path, *, rows: Any = None, model: ModelFactory | None = None
) -> Exported:
    """Writes a bundle's model in a form that others load; the folder has a card that says how.

    `onnx` takes an input for each column and returns labels as text; `torch-export` is a program that
    `torch.export.load` reads, `safetensors` the weights, with the schema and recipe that
    `pawl.load_safetensors` makes a module of. Before anything is written the new form is loaded again
    and held to the bundle, on the bundle's stored rows and on `rows`.

    Args:
        bundle: A bundle, its folder, or its campaign's.
        to: `onnx`, `torch-export` or `safetensors`.
        out: A new or empty folder.
        rows: Further rows to check on, in the form of the training data.
        model: What makes your own model, as the campaign was given it; nothing for pawl's.

    Raises:
        BundleError: The form cannot be made of this bundle, or predicts otherwise.
        PawlError: Any other wrong input, in one line.
    """
    if to not in FORMS:
        allowed = ", ".join(FORMS)
        raise BundleError(f"got {option('to', to)}{did_you_mean(to, FORMS)}; allowed are {allowed}")
    folder = place_of(out)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    checked = _rows(opened, rows)
    files, difference = FORMS[to](opened, checked, model)
    count = sum(len(each) for each in checked)
    card = (opened.folder / "card.md").read_text(encoding="utf-8").rstrip()
    said = f"Loaded again it predicts {count} rows within {difference:.2g} of the bundle."
    text = f"{card}\n\n## This export\n\n{HOW[to](opened.schema)}\n\n{said}\n"
    every = {**files, "card.md": text.encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in every.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise LedgerError(
            f"cannot write to {str(folder)!r}: {error.strerror}; give another {option('out')}"
        ) from None
    return Exported(folder, to, tuple(every), count, difference)


def load_safetensors(folder: str | Path, model: ModelFactory | None = None) -> nn.Module:
    """Returns the module whose weights `export` left as safetensors, in evaluation mode.

    Args:
        folder: What was exported to.
        model: What makes your own model; nothing for pawl's.

    Raises:
        BundleError: It holds no such export.
    """
    path = Path(folder)
    try:
        task = json.loads((path / "task.json").read_text())
        schema = Schema.model_validate(task["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{str(path)!r} holds no export as safetensors ({first_line(error)}); give the folder that "
            f"{option('out')} named"
        ) from None
    return rebuilt(schema, None, str(path / "model.safetensors"), model, task.get("start"))


def _rows(bundle: Bundle, given: Any) -> list[Examples]:
    """Returns the rows to check on: the stored ones, or such as are made up alike, and given ones."""
    stored = stored_rows(bundle.folder)
    first = template(bundle.schema, _SAMPLE) if stored is None else stored[0]
    return [first] if given is None else [first, bundle.read(given)]


def _hold(
    bundle: Bundle, checked: list[Examples], said: Callable[[Examples], np.ndarray], what: str
) -> float:
    """Returns the largest difference from the bundle over all rows, and over one row alone.

    Raises:
        BundleError: It is too large.
    """
    graph = (bundle.folder / "model.onnx").read_bytes()
    worst = 0.0
    for rows in [*checked, checked[0].take(torch.arange(1))]:
        expected = predict(graph, rows)  # first: a user's forward may change its inputs in place
        try:
            got = said(rows)
        except Exception as error:  # of whatever runs it
            raise BundleError(f"{what} cannot be run ({first_line(error)})") from error
        worst = max(worst, apart(got, expected))
    if not worst <= _TOLERANCE:
        raise BundleError(
            f"{what} predicts otherwise than the bundle (by {worst:.2g}, where {_TOLERANCE:g} is "
            "allowed); nothing was written"
        )
    return worst


def _onnx(
    bundle: Bundle, checked: list[Examples], _: ModelFactory | None
) -> tuple[dict[str, bytes], float]:
    schema, shift = bundle.schema, float(bundle.task.get("shift", 0.0))
    made = raw_graph((bundle.folder / "model.onnx").read_bytes(), schema, shift)
    running = session(made)
    kind = KINDS[schema.kind]

    def said(rows: Examples) -> np.ndarray:
        found = _run(running, raw_feed(schema, rows))
        label_or_value, *more = (found[name] for name in raw_outputs(schema))
        if not kind.has_classes:
            return label_or_value
        expected = predict((bundle.folder / "model.onnx").read_bytes(), rows)
        _hold_labels(schema, label_or_value, expected)
        plain = unshifted(expected, shift) if shift else expected
        (probabilities,) = more
        return probabilities if apart(probabilities, plain) > _TOLERANCE else expected

    difference = _hold(bundle, checked, said, "the ONNX graph")
    return {"model.onnx": made}, difference


def _run(
    running: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    names = [item.name for item in running.get_outputs()]
    wanted = {item.name: feed[item.name] for item in running.get_inputs()}
    return dict(zip(names, running.run(names, wanted), strict=True))


def _hold_labels(schema: Schema, got: np.ndarray, predictions: np.ndarray) -> None:
    """Raises `BundleError` where a label is another, unless two classes were as good as equal."""
    kind = KINDS[schema.kind]
    numbers = kind.labels(predictions)
    if kind.exclusive:
        expected = np.array(schema.classes, dtype=object)[numbers] if schema.classes else numbers
        best = np.sort(predictions, axis=-1)
        sure = best[..., -1] - best[..., -2] > _NEAR
    else:
        columns = [np.array(each.classes, dtype=object) for each in schema.targets]
        expected = np.stack([names[numbers[:, at]] for at, names in enumerate(columns)], 1)
        sure = np.abs(predictions - 0.5) > _NEAR
    other = (got != expected) & sure
    if bool(other.any()):
        raise BundleError(
            f"{int(other.sum())} of {other.size} labels are others than the bundle has"
        )


class _Labeled(nn.Module):
    """A pipeline that also returns class numbers."""

    def __init__(self, pipeline: nn.Module, *, exclusive: bool) -> None:
        super().__init__()
        self.pipeline, self.exclusive = pipeline, exclusive

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Returns class numbers and probabilities."""
        found = self.pipeline(*tensors)
        return (found.argmax(-1) if self.exclusive else (found > 0.5).long()), found


def _torch_export(
    bundle: Bundle, checked: list[Examples], model: ModelFactory | None
) -> tuple[dict[str, bytes], float]:
    schema, pipeline = bundle.schema, bundle.module(model)
    if any(isinstance(each, Trees) for each in pipeline.modules()):
        raise BundleError(
            "the bundle holds trees, for which torch.export has no operation; take "
            f"{option('to', 'onnx')}"
        )
    kind = KINDS[schema.kind]
    whole: nn.Module = (
        _Labeled(pipeline, exclusive=kind.exclusive) if kind.has_classes else pipeline
    )
    whole.eval()
    names = [spec.name for spec in schema.inputs]
    example = tuple(checked[0].inputs[name] for name in names)
    batch = torch.export.Dim("rows", min=1)
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), lengths_kept(whole), masks_taken():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                whole, example, dynamic_shapes=(tuple({0: batch} for _ in example),)
            )
            about = json.dumps({"schema": schema.model_dump(mode="json")})
            torch.export.save(program, file, extra_files={"pawl.json": about})
            file.seek(0)
            loaded = torch.export.load(file).module()
    except Exception as error:  # the exporter has many
        raise BundleError(
            f"the model cannot be exported by torch.export ({type(error).__name__}: "
            f"{first_line(error)}); take {option('to', 'onnx')}"
        ) from error

    def said(rows: Examples) -> np.ndarray:
        with torch.no_grad():
            found = loaded(*(rows.inputs[name] for name in names))
        return np.asarray((found[1] if kind.has_classes else found).numpy())

    difference = _hold(bundle, checked, said, "the exported program")
    return {"model.pt2": file.getvalue()}, difference


def _safetensors(
    bundle: Bundle, checked: list[Examples], model: ModelFactory | None
) -> tuple[dict[str, bytes], float]:
    pipeline = bundle.module(model)

    def said(rows: Examples) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(pipeline(*(rows.inputs[name] for name in pipeline.names)).numpy())

    difference = _hold(bundle, checked, said, "the module made of these weights")
    names = ("model.safetensors", "recipe.toml", "task.json")
    return {name: (bundle.folder / name).read_bytes() for name in names}, difference


Made = Callable[[Bundle, list[Examples], "ModelFactory | None"], tuple[dict[str, bytes], float]]
FORMS: dict[str, Made] = {
    "onnx": _onnx,
    "torch-export": _torch_export,
    "safetensors": _safetensors,
}
"""Ways of making a bundle's model into files, each checked, by name."""
