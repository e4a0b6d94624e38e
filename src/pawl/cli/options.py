"""Options of commands, made of the models that say what there is."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from pawl.options import OptionsModel, in_order, plain

_SOURCE = typer.Argument(
    help="CSV or Parquet file, folder or archive of images by class, module.py[:task], or a "
    "sample: digits, breast-cancer."
)
Source = Annotated[str, _SOURCE]
OptionalSource = Annotated[str | None, _SOURCE]
FLAG = ""
"""The metavar of an option that takes no value."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", metavar=FLAG)]
_METAVARS = {
    "types": "COLUMN=KIND",
    "ignore": "COLUMN",
    "target": "COLUMN",
    "only": "NAMES",
    "families": "NAMES",
    "objectives": "NAMES",
    "grid": "SETTING=VALUES",
    "time": "COLUMN",
    "group": "COLUMN",
    "known": "COLUMNS",
    "log": "WHERE",
}


def with_options(
    model: type[OptionsModel],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each field of a model; it gets those that were given as `given`."""
    names = [name for name in in_order(model) if not _is_python_only(model, name)]

    def extend(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        parameters = [each for name, each in own.items() if name != "given"]
        parameters += [_parameter(model, name) for name in names]

        @functools.wraps(command)
        def extended(**arguments: Any) -> None:
            every = {name: arguments.pop(name) for name in names}
            # 0 equals False, and is given.
            given = {k: v for k, v in every.items() if v is not False and v not in (None, [])}
            command(**arguments, given=given)

        extended.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        extended.__annotations__ = {each.name: each.annotation for each in parameters}
        return extended

    return extend


def _is_python_only(model: type[OptionsModel], name: str) -> bool:
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("python_only"))


def _parameter(model: type[OptionsModel], name: str) -> inspect.Parameter:
    """Returns an option's parameter. Without a value it is not given: the model has the default."""
    field = model.model_fields[name]
    kind = _kind(field.annotation)
    told = typer.Option(
        *((f"--{name.replace('_', '-')}",) if kind is bool else ()),  # no --no-...
        help=_help(field),
        show_default=False,
        metavar=FLAG if kind is bool else _METAVARS.get(name),
    )
    default: Any = False if kind is bool else None
    if field.is_required():
        default = inspect.Parameter.empty
    elif kind is not bool:
        kind |= None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, told]
    )


def _help(field: FieldInfo) -> str:
    """Returns what is said of an option; a default that is a text or a number is said in words."""
    said = field.description or ""
    return f"{said} By default {field.default}." if type(field.default) in (str, int) else said


def _kind(annotation: Any) -> Any:
    """Returns what a command line's text becomes: a path, a flag, texts, a whole number, else a text."""
    shown = plain(annotation)
    parts = get_args(shown) if isinstance(shown, types.UnionType) else (shown,)
    if Path in parts:
        return Path
    if bool in parts:
        return bool
    if any(get_origin(part) in (Sequence, Mapping) for part in parts):
        return list[str]
    return int if int in parts and str not in parts else str
