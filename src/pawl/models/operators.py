"""What the exporter knows of operators, gathered once.

`torch.onnx.export` gathers it anew each time: which operators ONNX has, from the source of 500
functions, and how the others are taken apart. It does not depend on what is exported, and is most of
the time in which a small model is.
"""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Callable, Hashable, Iterator
from typing import Any
from unittest import mock

_tables: dict[Hashable, Any] = {}


@contextlib.contextmanager
def operators_kept() -> Iterator[None]:
    """While open, exports share the tables, which they only read.

    They are not part of PyTorch's face: with a version that has them elsewhere, each export makes its
    own.
    """
    try:
        patches = _patches()
    except (ImportError, AttributeError):
        patches = []
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


def _patches() -> list[Any]:
    """Returns what puts the kept tables in the place of what makes them.

    Raises:
        ImportError, AttributeError: This version of PyTorch has them elsewhere.
    """
    import torch  # noqa: PLC0415
    from torch.export import exported_program  # noqa: PLC0415
    from torch.onnx._internal.exporter import _decomp  # noqa: PLC0415
    from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415

    # Operators that are made of others: libraries may add some at any time.
    made = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
    known = frozenset(made)
    return [
        mock.patch.object(place, name, staticmethod(_once(getattr(place, name), known)))
        for place, name in (
            (ONNXRegistry, "from_torchlib"),
            (_decomp, "create_onnx_friendly_decomposition_table"),
            (exported_program, "_collect_all_valid_cia_ops"),
        )
    ] + [
        # An export registers thousands of functions by a decorator, which makes its annotations anew
        # each time. This is the same type, but it keeps what was made of it.
        mock.patch.object(torch._ops, "Callable", typing.Callable)
    ]


def _once(make: Callable[..., Any], known: Hashable) -> Callable[..., Any]:
    """Returns a function that calls `make` once for the same arguments and known operators."""

    def kept(*arguments: Any, **options: Any) -> Any:
        given = (frozenset(each) if isinstance(each, set) else each for each in arguments)
        key = make.__qualname__, known, *given, *options.items()
        if key not in _tables:
            _tables[key] = make(*arguments, **options)
        return _tables[key]

    return kept
