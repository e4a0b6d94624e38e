"""Reads weights from safetensors, PyTorch files, bundles and mappings; nothing of a file is run."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from pawl.errors import TaskError, first_line
from pawl.transfer.bundles import BundleStart, read_bundle

_CONTAINERS = (
    "state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model_state", "model",
    "params", "weights", "net",
)  # fmt: skip
"""What a checkpoint calls its weights, averaged ones first, as they are what was evaluated."""
_PICKLED = (b"PK\x03\x04", b"\x80")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_HOW = "keep tensors alone, by torch.save(model.state_dict(), path) or as safetensors"
_SAVED = "model.safetensors"
"""What is in a folder that a package of models saved one to."""
_PARTS = "model.safetensors.index.json"
"""Alike, of a model that is too large for one file."""
_OF_BUNDLES = ("manifest.json", "task.json", "bundle")
ALLOWED = (
    "give a .safetensors file, a PyTorch file of a state dict, a bundle or a campaign's folder, or a "
    "mapping of names to tensors"
)


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by name, from one source.

    Attributes:
        name: How it is called in messages.
        tensors: Weights and buffers.
        notes: What was done to get them, each a few words.
        bundle: What else a bundle says; `None` for other sources.
    """

    name: str
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    bundle: BundleStart | None = None


def read_weights(given: Any) -> Weights:
    """Reads weights.

    Args:
        given: A path, of a file or a folder (one that has a `model.safetensors` and is no bundle, as
            packages of models save theirs, is read as that file; so is one in parts, with an index), or
            a mapping of names to tensors or arrays.

    Raises:
        TaskError: It is neither, cannot be read, holds more than tensors, or values that are not finite.
        BundleError: It is a folder, and no complete bundle with a network.
    """
    if isinstance(given, Mapping):
        found = _of_mapping(given, "the weights given")
    elif not isinstance(given, str | Path):
        raise TaskError(f"got weights of type {type(given).__name__}; {ALLOWED}")
    elif (saved := Path(given) / _SAVED).is_file() and not _is_bundle(Path(given)):
        found = _of_file(saved)
    elif (parts := Path(given) / _PARTS).is_file() and not _is_bundle(Path(given)):
        found = _of_parts(parts)
    elif Path(given).is_dir():
        bundle = read_bundle(Path(given))
        found = Weights(repr(str(given)), bundle.tensors, bundle.notes, bundle.start)
    elif Path(given).is_file():
        found = _of_file(Path(given))
    else:
        raise TaskError(f"there are no weights at {str(given)!r}; {ALLOWED}")
    wrong = [
        name
        for name, x in found.tensors.items()
        if x.is_floating_point() and not bool(x.isfinite().all())
    ]
    if wrong:
        raise TaskError(
            f"{found.name} has values that are not finite in {wrong[0]!r} ({len(wrong)} tensor(s)); "
            "give weights of a training that did not diverge"
        )
    return found


def print_of(given: Any) -> str | None:
    """Returns a fingerprint of what weights hold, by content; `None` where none are given."""
    if given is None:
        return None
    digest = hashlib.sha256()
    if isinstance(given, str | Path) and Path(given).is_file():
        digest.update(Path(given).read_bytes())
        return digest.hexdigest()
    for name, tensor in sorted(read_weights(given).tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_bundle(folder: Path) -> bool:
    """Tells whether a folder is a bundle, or has one, complete or not."""
    return any((folder / name).exists() for name in _OF_BUNDLES)


def _of_file(path: Path) -> Weights:
    name = repr(str(path))
    content = path.read_bytes()
    if content.startswith(_PICKLED) and content[8:9] != b"{":  # safetensors begin with a length
        return _of_mapping(_unpickled(path), name)
    try:
        return Weights(name, load(content))
    except SafetensorError as error:
        raise TaskError(
            f"{name} is neither a safetensors file nor one of PyTorch's ({first_line(error)}); {ALLOWED}"
        ) from None


def _of_parts(index: Path) -> Weights:
    """Returns the tensors of the files that an index names, which lie beside it."""
    name = repr(str(index.parent))
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"{str(index)!r} cannot be read ({first_line(error)}); {ALLOWED}") from None
    tensors: dict[str, Tensor] = {}
    for file in files:
        path = index.parent / Path(file).name
        if not path.is_file():
            raise TaskError(f"{str(path)!r} is missing, one of {len(files)} files of the weights")
        tensors |= _of_file(path).tensors
    return Weights(name, tensors, (f"{len(files)} files",))


def _unpickled(path: Path) -> Any:
    """Returns what a file of PyTorch's holds, if that is tensors and plain values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about a file is of no use to who gave it
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        names = _GLOBAL.findall(str(error))
        asks = f" (it asks for {names[0]})" if names else ""
        raise TaskError(
            f"{str(path)!r} holds more than tensors{asks}; loading it could run code, so it was refused "
            f"and nothing of it was run; {_HOW}"
        ) from None
    except Exception as error:  # a damaged file raises anything
        reason = first_line(error).partition(". ")[0]
        raise TaskError(f"{str(path)!r} cannot be read ({reason}); {ALLOWED}") from None


def _of_mapping(given: Any, name: str) -> Weights:
    """Returns the tensors of a state dict, taken out of what a checkpoint keeps around it."""
    notes: list[str] = []
    while isinstance(given, Mapping) and not any(_is_array(x) for x in given.values()):
        inner = next((key for key in _CONTAINERS if isinstance(given.get(key), Mapping)), None)
        if inner is None:
            break
        notes.append(f"taken from {inner!r}")
        given = given[inner]
    tensors = {}
    if isinstance(given, Mapping):
        tensors = {str(key): torch.as_tensor(x) for key, x in given.items() if _is_array(x)}
    if not tensors:
        raise TaskError(f"{name} holds no tensors by name; {ALLOWED}")
    return Weights(name, {key: x.detach().cpu() for key, x in tensors.items()}, tuple(notes))


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    )
