"""Options of commands, made of the models that say what there is."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer

from pawl.options import OptionsModel, in_order

_SOURCE = typer.Argument(
    help="CSV or Parquet file, folder or archive of images by class, module.py[:task], or a "
    "sample: digits, breast-cancer."
)
Source = Annotated[str, _SOURCE]
OptionalSource = Annotated[str | None, _SOURCE]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_METAVARS = {"types": "COLUMN=KIND", "ignore": "COLUMN", "only": "NAMES"}


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
    flags = (f"--{name.replace('_', '-')}",) if kind is bool else ()
    shown = str(field.default) if type(field.default) in (str, int) else False
    if field.is_required():
        told = typer.Option(*flags, help=field.description)
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, told]
        )
    told = typer.Option(
        *flags, help=field.description, show_default=shown, metavar=_METAVARS.get(name)
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if kind is bool else None,
        annotation=Annotated[kind if kind is bool else kind | None, told],
    )


def _kind(annotation: Any) -> Any:
    """Returns what a command line's text becomes: a path, a flag, whole numbers, texts, else a text."""
    parts = _parts(annotation)
    if Path in parts:
        return Path
    for kind in (bool, list[str]):
        if kind in parts:
            return kind
    return int if int in parts and str not in parts else str


def _parts(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return {part for each in get_args(annotation) for part in _parts(each)}
    if origin is Annotated:
        return _parts(get_args(annotation)[0])
    if origin in (Sequence, Mapping):
        return {list[str]}
    return {annotation}
