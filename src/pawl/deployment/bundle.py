"""The bundle: a folder that predicts on its own.

`model.onnx` (raw inputs to predictions), `model.safetensors` (weights and buffers), `recipe.toml`,
`task.json` (the schema and what reading new rows needs), `card.md` (what it is and how good),
`check.safetensors` (made-up rows and what the graph predicts of them), `measured.json` (what it costs,
and where that was measured) and `manifest.json` (SHA-256 of each). Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from safetensors import SafetensorError, deserialize

from pawl.data import read_like
from pawl.data.types import Examples, Schema
from pawl.deployment.contents import Unreadable, read_measured, read_task, reason
from pawl.deployment.export import Running, check_graph, run
from pawl.deployment.predictions import (
    prediction_arrays,
    prediction_frame,
    without_prediction,
)
from pawl.deployment.rebuilding import rebuilt
from pawl.deployment.records import CHECK, MEASURED, check_rows
from pawl.deployment.running import running_of
from pawl.errors import BundleError, DataError, DataWarning, first_line, printable
from pawl.kinds import KINDS, Conformal
from pawl.ledger import Ledger
from pawl.models import Pipeline, unknown_code
from pawl.task import ModelFactory
from pawl.training.trained import Predictor

MANIFEST = "manifest.json"
FILES = (
    "model.onnx", "model.safetensors", "recipe.toml", "task.json", "card.md", CHECK, MEASURED,
)  # fmt: skip
_TEXTS = ("card.md", "recipe.toml")
_FORMAT = 3
_FILES_OF = {2: set(FILES) - {CHECK, MEASURED}, _FORMAT: set(FILES)}
"""Files of bundles by version; the one before is read, too."""


@dataclass(frozen=True)
class Bundle:
    """A bundle, opened and checked.

    Attributes:
        folder: Where it lies.
        schema: How rows are read.
        task: The rest of `task.json`: name, metric, versions.
    """

    folder: Path
    schema: Schema
    task: dict[str, Any]
    _session: Running

    @classmethod
    def open(cls, folder: str | Path, *, threads: int | None = None) -> Bundle:
        """Opens a bundle, or the bundle in a campaign's folder.

        Args:
            folder: Where it lies.
            threads: Of ONNX Runtime; by default as many as there are cores to use.

        Raises:
            BundleError: It is not one, is incomplete, or a byte of it has changed.
        """
        path = Path(folder)
        if not (path / MANIFEST).is_file() and (path / "bundle" / MANIFEST).is_file():
            path = path / "bundle"
        manifest = _manifest(path)
        content = {name: _verified(path, name, digest) for name, digest in manifest.items()}
        name = ""
        try:
            for name in _TEXTS:
                content[name].decode()
            name = "task.json"
            schema, task = read_task(content[name])
            name = MEASURED
            runtime = read_measured(content.get(name, b"{}")).get("runtime")
        except Unreadable as error:
            raise BundleError(
                f"{str(path / name)!r} cannot be read ({reason(error)}); take the bundle anew"
            ) from None
        try:
            deserialize(content["model.safetensors"])  # type: ignore[no-untyped-call]
        except SafetensorError as error:
            raise BundleError(
                f"{str(path / 'model.safetensors')!r} holds no plain weights ({first_line(error)}); "
                "nothing of it was run; take the bundle anew"
            ) from None
        try:
            check_graph(content["model.onnx"], [spec.name for spec in schema.inputs])
            running = running_of(content["model.onnx"], runtime, threads=threads)
        except BundleError as error:
            raise BundleError(
                f"{str(path / 'model.onnx')!r} {error}; nothing of it was run; take the bundle anew"
            ) from None
        except Exception as error:  # ONNX Runtime has exceptions of its own, without a common base
            raise BundleError(
                f"{str(path / 'model.onnx')!r} cannot be read ({first_line(error)}); take the bundle "
                "anew"
            ) from None
        return cls(path, schema, task, running)

    @property
    def conformal(self) -> Conformal | None:
        """What predictions come with, where the campaign was asked for `coverage`."""
        kept = self.task.get("conformal")
        return None if kept is None else Conformal.from_dict(kept)

    @property
    def rows_are_apart(self) -> bool:
        """Whether a row's prediction depends on that row alone, and not on those it is computed with.

        Where numbers become integers by the range that they have in a call, it does not.
        """
        graph = onnx.load(self.folder / "model.onnx")
        return all(node.op_type != "DynamicQuantizeLinear" for node in graph.graph.node)

    def read(self, source: Any) -> Examples:
        """Reads rows as the model takes them; see `pawl.data.read_like`."""
        return read_like(self.schema, source)

    def predict_raw(self, examples: Examples) -> np.ndarray:
        """Returns predictions `[R, *P]` (`pawl.kinds`), float32.

        Raises:
            DataError: A row has a code that the model does not know.
            BundleError: The graph cannot take the rows, or gives anything else.
        """
        graph = str(self.folder / "model.onnx")
        # A graph would take the code -1 for the last one.
        if (said := unknown_code(examples.inputs, self.task.get("codes", {}))) is not None:
            raise DataError(f"{said}; give codes as in the data that it was trained on")
        try:
            got = run(self._session, examples)
        except Exception as error:  # as above
            raise BundleError(
                f"{graph!r} cannot take rows of this schema ({first_line(error)}); take the bundle "
                "anew"
            ) from None
        schema = self.schema
        kind = KINDS[schema.kind]
        wanted = (len(examples), *kind.prediction_shape(schema.num_outputs, schema.places))
        shape = got.shape
        if kind.has_places and kind.has_classes and shape[-1:] > wanted[-1:]:
            shape = (*shape[:-1], wanted[-1])  # a model may know more classes than the targets have
        if shape != wanted:
            raise BundleError(
                f"{graph!r} gave predictions of shape {list(got.shape)}; {list(wanted)} are needed; "
                "take the bundle anew"
            )
        return got

    def predict(self, source: Any) -> pd.DataFrame | dict[str, Any]:
        """Returns one row per input row: `prediction`, and `p_CLASS` per class.

        Rows of a data frame keep its index. Rows for which the model has no prediction (what it computes
        is not finite) keep their place, without a class or value; a `DataWarning` counts them.

        Of several targets, each has a column of its name; labels also `p_NAME`, how likely they are. For
        images from files, `file` comes first: each image's path inside the source. Where predictions lie
        on places of a row, they are arrays, `prediction` and, of classes, `probabilities`.

        Where two classes are told apart at another probability than one half, `prediction` goes by it,
        and `p_CLASS` are the probabilities; in what `predict_raw` returns they are shifted, so that it
        is one half there.

        Of a campaign that was asked for `coverage`, values come with `low` and `high` (of several
        targets `NAME_low` and `NAME_high`), and classes with `in_CLASS`, whether a class is in the set.

        Args:
            source: A path, data frame or arrays in the form of the training data; the target may be
                missing.
        """
        found = self.predict_read(self.read(source))
        index = _index_of(source)
        if index is not None and isinstance(found, pd.DataFrame):
            found.index = index
        return found

    def predict_read(self, examples: Examples) -> pd.DataFrame | dict[str, Any]:
        """Returns what `predict` does, for rows as `read` gives them."""
        raw = self.predict_raw(examples)
        for note in without_prediction(raw):
            warnings.warn(note, DataWarning, stacklevel=2)
        if KINDS[self.schema.kind].has_places:
            return prediction_arrays(self.schema, raw)
        frame = prediction_frame(self.schema, raw, self.conformal, self.task.get("shift"))
        if examples.files:
            frame.insert(0, "file", [printable(file) for file in examples.files])
        return frame

    def module(self, model: ModelFactory | None = None) -> Pipeline:
        """Returns what predicts as a PyTorch module, with its trained weights, in evaluation mode.

        It takes the schema's inputs in their order, as `read` gives them, and returns predictions. The
        model inside is its `body`; of several, its `members` are such modules.

        Args:
            model: What makes your own model, as the campaign was given it; nothing for pawl's.

        Raises:
            BundleError: The module cannot be built from it, or predicts other than the graph.
        """
        folder = self.folder
        if not self.task.get("compressed", {}).get("exact", True):
            raise BundleError(
                f"the graph of {str(folder)!r} was quantized, pruned or factored, which no module made "
                "of its recipe is; take the module of the bundle that it was made from"
            )
        graph = (folder / "model.onnx").read_bytes()
        weights = str(folder / "model.safetensors")
        return rebuilt(self.schema, graph, weights, model, self.task.get("start"))


def write_bundle(
    ledger: Ledger,
    *,
    schema: Schema,
    graph: bytes,
    predictor: Predictor,
    recipe: str,
    task: dict[str, Any],
    card: str,
    measured: dict[str, Any] | None = None,
) -> Bundle:
    """Writes a bundle into a campaign's folder and opens it.

    Args:
        ledger: The campaign's.
        schema: How rows are read.
        graph: The exported model.
        predictor: What it was exported from.
        recipe: How it was trained, as TOML.
        task: What else `task.json` holds (JSON-ready).
        card: `card.md`.
        measured: What it costs, if that is known; see `pawl.deployment.records`.
    """
    content = {**task, "schema": schema.model_dump(mode="json")}
    files = {
        "model.onnx": graph,
        "model.safetensors": predictor.to_safetensors(),
        "recipe.toml": recipe.encode(),
        "task.json": (json.dumps(content, indent=2) + "\n").encode(),
        "card.md": card.encode(),
        CHECK: check_rows(schema, graph),
        MEASURED: (json.dumps(measured or {}, indent=2) + "\n").encode(),
    }
    for name, data in files.items():
        ledger.write_file(f"bundle/{name}", data)
    ledger.write_file(f"bundle/{MANIFEST}", manifest_of(files))
    return Bundle.open(ledger.folder / "bundle")


def manifest_of(files: dict[str, bytes]) -> bytes:
    """Returns the manifest of a bundle's files."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return (json.dumps({"format": _FORMAT, "sha256": digests}, indent=2) + "\n").encode()


def _index_of(source: Any) -> pd.Index[Any] | None:
    """Returns the index of a data frame's rows, also where their targets are beside it."""
    rows = source[0] if isinstance(source, tuple | list) and source else source
    return rows.index if isinstance(rows, pd.DataFrame | pd.Series) else None


def _manifest(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        digests, version = content["sha256"], int(content["format"])
        if not isinstance(digests, dict):
            raise TypeError(digests)
        if version > _FORMAT:
            raise BundleError(
                f"{str(folder)!r} is a bundle of a newer version of pawl (format {version}; this one "
                f"reads up to {_FORMAT}); install that version, or make the bundle anew with this one"
            )
        if set(digests) != _FILES_OF.get(version):
            raise BundleError(f"{str(folder)!r} is a bundle of another version of pawl")
    except OSError:
        raise BundleError(
            f"{str(folder)!r} is not a bundle (no {MANIFEST}); give the folder `bundle` that a "
            "campaign left"
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError):
        raise BundleError(f"{str(folder / MANIFEST)!r} is damaged; take the bundle anew") from None
    return digests


def _verified(folder: Path, name: str, digest: str) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError:
        raise BundleError(
            f"the bundle {str(folder)!r} lacks {name}; take the bundle anew"
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(
            f"{str(folder / name)!r} has changed since the bundle was written; take the bundle anew"
        )
    return data
