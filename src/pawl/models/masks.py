"""Lets an encoder of PyTorch's take any mask while it is exported.

`nn.TransformerEncoder` and `nn.TransformerDecoder` look at the values of a mask to see whether it is the
causal one, if nobody says (`is_causal`); an exporter cannot follow that. What they return does not
depend on it, as the mask is applied in any case: to know only makes attention faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from torch.nn.modules import transformer

_NAME = "_detect_is_causal_mask"


def _as_said(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    del mask, size
    return bool(is_causal)


@contextlib.contextmanager
def masks_taken() -> Iterator[None]:
    """Within it a mask counts as causal only where the model says so.

    With a version of PyTorch that looks elsewhere, all stays as it is.
    """
    if not hasattr(transformer, _NAME):
        yield
        return
    with mock.patch.object(transformer, _NAME, _as_said):
        yield
