"""Names that a model saves itself under, where these are not those of its submodules.

Packages rename weights when they save and load a model, so that files of earlier versions stay valid.
How, is not guessed from names, order or shapes: a copy whose weights are all unlike is asked to save
itself, and what it wrote is found again by its values.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from pawl.models import duplicate
from pawl.transfer.sources import read_weights

_SAVES = "save_pretrained"
"""What packages call the method that writes a module to a folder."""
_FILES = (".safetensors", ".bin", ".pt", ".pth")


def saved_names(module: nn.Module) -> dict[str, str]:
    """Returns a module's own names of weights and buffers, by the names that it saves itself under.

    The outermost submodules that save themselves are asked. A tensor that is written in another form
    (transposed, cut, or put together with others) has no name; so wrong pairs are impossible.

    Args:
        module: Left as it is.

    Returns:
        Empty if nothing in it saves itself, or saving fails.
    """
    found: dict[str, str] = {}
    for lead, each in _saving(module):
        own = _asked(each)
        found |= {f"{lead}{name}": f"{lead}{inner}" for name, inner in own.items()}
    return found


def _saving(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yields the outermost submodules that save themselves, by what their names begin with."""
    taken: list[str] = []
    for name, each in module.named_modules():
        lead = f"{name}." if name else ""
        if callable(getattr(each, _SAVES, None)) and not lead.startswith(tuple(taken)):
            taken.append(lead)
            yield lead, each


def _asked(module: nn.Module) -> dict[str, str]:
    """Returns a module's names by those that its copy writes."""
    try:
        copied = duplicate(module)
        named = {**dict(copied.named_parameters()), **dict(copied.named_buffers())}
        floats = {name: x for name, x in named.items() if x.is_floating_point()}
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in floats.values():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        with TemporaryDirectory() as folder, _quiet():
            getattr(copied, _SAVES)(folder)
            files = [file for file in Path(folder).iterdir() if file.suffix in _FILES]
            written = {n: x for file in files for n, x in read_weights(file).tensors.items()}
    except Exception:  # whatever a user's module raises
        return {}
    own = _by_values(floats)
    return {name: own[key] for key, name in _by_values(written).items() if key in own}


def _by_values(tensors: dict[str, Tensor]) -> dict[bytes, str]:
    """Returns names by what tensors hold; none of those that hold the same."""
    found: dict[bytes, list[str]] = {}
    for name, x in tensors.items():
        values = x.detach().cpu().contiguous()
        key = f"{values.dtype} {tuple(values.shape)} ".encode()
        key += values.reshape(-1).view(torch.uint8).numpy().tobytes()
        found.setdefault(key, []).append(name)
    return {key: names[0] for key, names in found.items() if len(names) == 1}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what a package says while it saves from the user."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
