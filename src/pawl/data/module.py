"""Tasks written in Python: `module.py[:name]`."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pawl.data.samples import SAMPLES
from pawl.errors import PawlError, TaskError, did_you_mean
from pawl.options import READ_OPTIONS, ReadOptions
from pawl.processes import one_process
from pawl.task import FunctionTask, Task

T = TypeVar("T", Task, FunctionTask)
_FIELDS = tuple(field.name for field in dataclasses.fields(Task))


def resolve_task(source: Any, **overrides: Any) -> Task:
    """Turns what the command line or a caller gives into a task.

    Args:
        source: `module.py` or `module.py:name`, a `Task`, or anything that `Task.data` may be.
        overrides: Fields of `Task` and of its `ReadOptions` that replace the task's own; those that
            are `None` don't.

    Raises:
        TaskError: If the module has no usable task, or an override is not a field of `Task`.
    """
    for name in overrides:
        if name not in _FIELDS and name not in READ_OPTIONS:
            known = (*_FIELDS, *READ_OPTIONS)
            raise TaskError(
                f"got the setting {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
            )
    given = {name: value for name, value in overrides.items() if value is not None}
    reading = {name: given.pop(name) for name in READ_OPTIONS if name in given}
    if reading:
        own = resolve_task(source, **given)
        return dataclasses.replace(own, read=ReadOptions(**{**own.read.given, **reading}))
    if isinstance(source, str | Path) and _module_parts(str(source)) is not None:
        source = load_module_task(str(source))
    if isinstance(source, FunctionTask):
        raise TaskError("got a FunctionTask; a function's settings are for pawl tune")
    if not isinstance(source, Task):
        return Task(**{"data": source, **given})
    if "metric" in given and source.metric is not None:
        given.setdefault("direction", None)  # the task's own goes with the metric that is replaced
    return dataclasses.replace(source, **given)


def load_module_task(source: str) -> Task:
    """Imports `module.py` or `module.py:name` and returns its task.

    The name (by default `task`) is a `Task` or a callable without arguments that returns one. While
    the module is imported, its folder is on `sys.path`; of a module in a package, relative imports are
    those of the package. Relative paths in the task's data and test
    are resolved against that folder.

    Raises:
        TaskError: If the file is missing, does not import, lacks the name, or it gives no task.
    """
    task, path = _from_module(source, Task)
    return dataclasses.replace(
        task,
        data=_resolved(task.data, path.parent),
        test=_resolved(task.test, path.parent),
        weights=_resolved(task.weights, path.parent),
    )


def load_from_module(source: str, kind: type[T]) -> T:
    """Imports `module.py` or `module.py:name` and returns its task, of this kind.

    Raises:
        TaskError: See `load_module_task`.
    """
    return _from_module(source, kind)[0]


def _from_module(source: str, kind: type[T]) -> tuple[T, Path]:
    parts = _module_parts(source)
    if parts is None:
        raise TaskError(f"got {source!r}; allowed is module.py or module.py:name")
    path, name = parts
    if not path.is_file():
        raise TaskError(f"there is no file {str(path)!r}; check the path of the task's module")
    path = path.resolve()
    package, above = _package(path)
    with one_process(), _importable(above), _importable(path.parent):
        module = _import(path, package)
        public = [key for key in vars(module) if not key.startswith("_")]
        if name not in vars(module):
            raise TaskError(
                f"{path.name} has no {name!r}{did_you_mean(name, public)}; define "
                f"`{name} = pawl.{kind.__name__}(...)` there, or name another with {path.name}:name"
            )
        value = vars(module)[name]
        if callable(value) and not isinstance(value, Task | FunctionTask):
            try:
                value = value()
            except (Exception, SystemExit) as error:
                raise TaskError(f"{_where(error, path)}, when {name}() was called") from error
    if not isinstance(value, kind):
        other = "; it is for pawl tune" if isinstance(value, FunctionTask) else ""
        other = "; it is for pawl optimize" if isinstance(value, Task) else other
        raise TaskError(
            f"{name!r} in {path.name} is of type {type(value).__name__}; allowed is a "
            f"pawl.{kind.__name__}, or a function without arguments that returns one{other}"
        )
    return value, path


def _module_parts(source: str) -> tuple[Path, str] | None:
    if source.endswith(".py"):
        return Path(source), "task"
    file, colon, name = source.rpartition(":")
    return (Path(file), name or "task") if colon and file.endswith(".py") else None


def _resolved(source: Any, folder: Path) -> Any:
    if isinstance(source, str) and source not in SAMPLES:
        return str(folder / source)
    return folder / source if isinstance(source, Path) else source


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _package(path: Path) -> tuple[list[str], Path]:
    """Returns the names of the packages that a file lies in, from the top, and their folder."""
    names: list[str] = []
    folder = path.parent
    while folder.name.isidentifier() and (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names, folder


def _import(path: Path, package: list[str]) -> ModuleType:
    own = f"_pawl_task_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    name = ".".join([*package, own])
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path.name} cannot be imported; allowed is a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pydantic models look their module up while they are being defined.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PawlError as error:
        del sys.modules[name]
        raise TaskError(_where(error, path)) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise TaskError(f"{_where(error, path)}; correct the module") from error
    return module


def _where(error: BaseException, path: Path) -> str:
    """`file, line n: Type: message` for the innermost line of the user's file."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    line = lines[-1] if lines else None
    message = str(error)
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line, message = error.lineno, error.msg
    place = path.name if line is None else f"{path.name}, line {line}"
    return f"{place}: {type(error).__name__}: {' '.join(message.split())}".rstrip(": ")
