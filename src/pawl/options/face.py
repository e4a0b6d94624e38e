"""Python functions that take options as keywords, made of a model of them.

`@optimizing(Call)` turns `f(source, targets, call)` into `f(source=None, targets=None, *, budget=...,
...)`. Type checkers see the model's own signature, and so does `help`.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from pawl.options.campaign import in_order
from pawl.options.model import OptionsModel, plain

P = ParamSpec("P")
M = TypeVar("M", bound=OptionsModel)
R_co = TypeVar("R_co", covariant=True)
_INDENT = " " * 4


class Optimizing(Protocol[P, R_co]):
    """A function of a source, and of targets where these come apart from it."""

    def __call__(
        self, source: Any = None, targets: Any = None, *args: P.args, **options: P.kwargs
    ) -> R_co:
        """Calls it."""


class Training(Protocol[P, R_co]):
    """A function of a source and a recipe."""

    def __call__(self, source: Any, recipe: Any, *args: P.args, **options: P.kwargs) -> R_co:
        """Calls it."""


class Comparing(Protocol[P, R_co]):
    """A function of a source and two recipes."""

    def __call__(
        self, source: Any, first: Any, second: Any, *args: P.args, **options: P.kwargs
    ) -> R_co:
        """Calls it."""


class OfBundle(Protocol[P, R_co]):
    """A function of a bundle and rows."""

    def __call__(self, bundle: Any, data: Any, *args: P.args, **options: P.kwargs) -> R_co:
        """Calls it."""


class Diagnosing(Protocol[P, R_co]):
    """A function of a source."""

    def __call__(self, source: Any, *args: P.args, **options: P.kwargs) -> R_co:
        """Calls it."""


class Tuning(Protocol[P, R_co]):
    """A function of a task."""

    def __call__(self, task: Any = None, *args: P.args, **options: P.kwargs) -> R_co:
        """Calls it."""


def optimizing(
    options: Callable[P, M],
) -> Callable[[Callable[[Any, Any, M], R_co]], Optimizing[P, R_co]]:
    """Gives a function of a source and targets the fields of a model as keywords."""
    return functools.partial(_with_keywords, options, optional=True)


def tuning(options: Callable[P, M]) -> Callable[[Callable[[Any, M], R_co]], Tuning[P, R_co]]:
    """Gives a function of a task the fields of a model as keywords."""
    return functools.partial(_with_keywords, options, optional=True)


def diagnosing(
    options: Callable[P, M],
) -> Callable[[Callable[[Any, M], R_co]], Diagnosing[P, R_co]]:
    """Gives a function of a source the fields of a model as keywords."""
    return functools.partial(_with_keywords, options)


def training(
    options: Callable[P, M],
) -> Callable[[Callable[[Any, Any, M], R_co]], Training[P, R_co]]:
    """Gives a function of a source and a recipe the fields of a model as keywords."""
    return functools.partial(_with_keywords, options)


def comparing(
    options: Callable[P, M],
) -> Callable[[Callable[[Any, Any, Any, M], R_co]], Comparing[P, R_co]]:
    """Gives a function of a source and two recipes the fields of a model as keywords."""
    return functools.partial(_with_keywords, options)


def of_bundle(
    options: Callable[P, M],
) -> Callable[[Callable[[Any, Any, M], R_co]], OfBundle[P, R_co]]:
    """Gives a function of a bundle and rows the fields of a model as keywords."""
    return functools.partial(_with_keywords, options)


def _with_keywords(
    model: Any, function: Callable[..., Any], *, optional: bool = False
) -> Callable[..., Any]:
    *own, last = inspect.signature(function).parameters.values()
    if optional:
        own = [each.replace(default=None) for each in own]
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else field.default,
            annotation=plain(field.annotation),
        )
        for name in in_order(model)
        for field in (model.model_fields[name],)
    ]
    signature = inspect.Signature([*own, *keywords])

    @functools.wraps(function)
    def called(*args: Any, **given: Any) -> Any:
        positional = {each.name: given.pop(each.name) for each in own if each.name in given}
        bound = inspect.Signature(own).bind(*args, **positional)
        bound.apply_defaults()
        return function(*bound.args, **{last.name: model(**given)})

    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__doc__ = _with_arguments(inspect.cleandoc(function.__doc__ or ""), model)
    return called


def _with_arguments(doc: str, model: type[OptionsModel]) -> str:
    """Returns a docstring with the options' texts behind its own arguments."""
    lines = []
    for name in in_order(model):
        text = f"{name}: {model.model_fields[name].description}"
        lines += textwrap.wrap(text, 96, initial_indent=_INDENT, subsequent_indent=2 * _INDENT)
    head, raises, rest = doc.partition("\n\nRaises:")
    return "\n".join([head, *lines]) + raises + rest
