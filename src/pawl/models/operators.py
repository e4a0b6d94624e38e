"""The exporter's table of operators, made once.

`torch.onnx.export` makes it anew each time, from the source of 500 functions; that is half of the time
in which a small model is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

_tables: dict[Any, Any] = {}


@contextlib.contextmanager
def operators_kept() -> Iterator[None]:
    """While open, exports share the table, which they only read.

    It is not part of PyTorch's face: with a version that has it elsewhere, each export makes its own.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # noqa: PLC0415

        make = ONNXRegistry.from_torchlib
    except (ImportError, AttributeError):
        yield
        return

    def kept(*args: Any, **options: Any) -> Any:
        key = args, tuple(options.items())
        if key not in _tables:
            _tables[key] = make(*args, **options)
        return _tables[key]

    with mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(kept)):
        yield
