"""A fingerprint of the user's code: what a model, loss or metric is, by content.

It is the same in every process that runs the same code: nothing of it is an address or an id. A
function counts by what it compiles to (its text won't do: that of a lambda is the whole call around
it), its defaults, what it closes over and the globals that it names; a class by its members and
bases; a module of the user's by its file and the files beside it that it imports, comments and
layout aside; what is installed by its name.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pawl.task import Task

_PLACES = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_INSTALLED = {Path(place).resolve() for place in (*_PLACES, str(Path(__file__).parent))}
# Of pydantic's models, what it makes of their fields, which has ids in it.
_NO_MEMBERS = {"__pydantic_core_schema__", "__pydantic_serializer__", "__pydantic_validator__",
               "__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__",
               "__static_attributes__", "__annotations__", "__annotate_func__",
               "__annotations_cache__"}  # fmt: skip
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
_MOST_LETTERS = 1_000_000
_DEEPEST = 60


def fingerprint(value: Any) -> str:
    """Returns the SHA-256, in hex, of a callable or any other value of the user's."""
    digest = hashlib.sha256()
    for piece in _Walk().pieces(value):
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def code_of(task: Task) -> dict[str, str | None]:
    """Returns the fingerprints of a task's model, loss and metric, and what is said of the metric."""
    parts = {role: getattr(task, role) for role in ("model", "loss", "metric", "direction")}
    return {
        role: part if part is None or isinstance(part, str) else fingerprint(part)
        for role, part in parts.items()
    }


class _Walk:
    """Turns a value into bytes, piece by piece; what was met before is named by its number."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[int, Any]] = {}  # with the value, which keeps its id its own
        self._files_met: set[Path] = set()
        self._depth = 0

    def pieces(self, value: Any) -> Iterator[bytes]:
        yield type(value).__qualname__.encode()
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            yield repr(value).encode()
            return
        if id(value) in self._met:
            yield f"met {self._met[id(value)][0]}".encode()
            return
        self._met[id(value)] = (len(self._met), value)
        self._depth += 1
        if self._depth <= _DEEPEST:
            yield from self._content(value)
        self._depth -= 1

    def _content(self, value: Any) -> Iterator[bytes]:  # noqa: PLR0912 - a table of kinds
        if isinstance(value, list | tuple):
            for each in value:
                yield from self.pieces(each)
        elif isinstance(value, set | frozenset):
            yield from sorted(fingerprint(each).encode() for each in value)
        elif isinstance(value, Mapping):
            for key, each in value.items():
                yield from self.pieces(key)
                yield from self.pieces(each)
        elif isinstance(value, np.ndarray | torch.Tensor | pd.Series | pd.DataFrame | pd.Index):
            yield from self._array(value)
        elif isinstance(value, types.ModuleType):
            yield from self._module(value)
        elif isinstance(value, types.CodeType):
            yield from self._code(value)
        elif isinstance(value, functools.partial):
            yield from self.pieces((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            yield from self.pieces((value.__func__, value.__self__))
        elif isinstance(value, staticmethod | classmethod):
            yield from self.pieces(value.__func__)
        elif isinstance(value, property):
            yield from self.pieces((value.fget, value.fset, value.fdel))
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif callable(value) and hasattr(value, "__qualname__"):  # written in C
            yield _name(value)
        else:
            yield from self._object(value)

    def _array(self, value: Any) -> Iterator[bytes]:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.float() if value.dtype == torch.bfloat16 else value
            value = value.resolve_conj().numpy() if value.layout == torch.strided else repr(value)
        elif isinstance(value, pd.DataFrame):
            value = [*map(str, value.columns), *(value.iloc[:, i] for i in range(value.shape[1]))]
        elif isinstance(value, pd.Series | pd.Index):
            value = value.to_numpy()
        if not isinstance(value, np.ndarray):
            yield from self.pieces(value)
            return
        yield f"{value.dtype} {value.shape}".encode()
        if value.dtype == object:
            yield from self.pieces(value.ravel().tolist())
        else:
            yield np.ascontiguousarray(value).tobytes()

    def _function(self, value: types.FunctionType) -> Iterator[bytes]:
        if _installed(value):
            yield _name(value)
            return
        yield from self._code(value.__code__)
        yield from self.pieces((value.__defaults__, value.__kwdefaults__))
        for cell in value.__closure__ or ():
            try:
                yield from self.pieces(cell.cell_contents)
            except ValueError:  # not yet filled
                yield b"empty"
        folder = _folder_of(value)
        for name in sorted(_global_names(value.__code__)):
            yield name.encode()
            if name in value.__globals__:
                yield from self.pieces(value.__globals__[name])
            elif folder is not None:  # imported when it is called
                yield from self._files(name, folder)
        yield from self._module(sys.modules.get(value.__module__ or ""))

    def _code(self, code: types.CodeType) -> Iterator[bytes]:
        yield code.co_code
        names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
        yield repr(names).encode()
        for constant in code.co_consts:
            yield from self.pieces(constant)

    def _class(self, value: type) -> Iterator[bytes]:
        if _installed(value):
            yield _name(value)
            return
        yield value.__qualname__.encode()
        for base in value.__bases__:
            yield from self.pieces(base)
        for name, member in sorted(vars(value).items()):
            if name not in _NO_MEMBERS and not name.startswith("_abc_"):
                yield name.encode()
                yield from self.pieces(member)
        yield from self._module(sys.modules.get(value.__module__))

    def _module(self, module: types.ModuleType | None) -> Iterator[bytes]:
        """A script's file is left out: it holds the very call that starts or goes on."""
        file = getattr(module, "__file__", None)
        if module is None or module.__name__ == "__main__" or file is None:
            return
        if _is_installed(file):
            yield module.__name__.encode()
        elif Path(file).is_file():
            yield from self._file(Path(file).resolve())

    def _file(self, path: Path) -> Iterator[bytes]:
        """The code in a file, and in those beside it that it imports."""
        if path in self._files_met:
            return
        self._files_met.add(path)
        yield path.name.encode()
        content = path.read_bytes()
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):  # not Python, such as an extension in C
            yield hashlib.sha256(content).digest()
            return
        yield ast.dump(tree).encode()
        for name in sorted(_imported(tree)):
            yield from self._files(name, path.parent)

    def _files(self, name: str, folder: Path) -> Iterator[bytes]:
        """The files of a module or package in a folder; nothing if it is not there."""
        head = name.partition(".")[0]
        file = folder / f"{head}.py"
        found = [file] if file.is_file() else sorted((folder / head).glob("**/*.py"))
        for each in found:
            yield from self._file(each.resolve())

    def _object(self, value: Any) -> Iterator[bytes]:
        yield from self.pieces(type(value))
        if hasattr(value, "__dict__"):
            yield from self.pieces(vars(value))
            return
        try:
            shown = repr(value)
        except Exception:  # the user's own; its type has been told
            return
        if len(shown) < _MOST_LETTERS and not _ADDRESS.search(shown):
            yield shown.encode()


def _name(value: Any) -> bytes:
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode()


def _global_names(code: types.CodeType) -> set[str]:
    """Returns the names that code looks up beyond its locals; not those that it sets itself."""
    instructions = list(dis.get_instructions(code))
    read = {
        str(i.argval) for i in instructions
        if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME")
    }  # fmt: skip
    read -= {str(i.argval) for i in instructions if i.opname == "STORE_GLOBAL"}
    inner = [_global_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return read.union(*inner)


def _imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update([node.module] if node.module else [alias.name for alias in node.names])
    return names


def _installed(value: Callable[..., Any]) -> bool:
    try:
        return _is_installed(inspect.getfile(value))
    except (TypeError, OSError):
        return getattr(value, "__module__", None) in sys.builtin_module_names


def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(place) for place in _INSTALLED)


def _folder_of(value: types.FunctionType) -> Path | None:
    path = Path(value.__code__.co_filename)
    return path.resolve().parent if path.is_file() else None
