"""What a settings field's bounds are."""

from __future__ import annotations

import math
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo


def bounds(field: FieldInfo) -> tuple[Any, Any]:
    """Returns the least and the most that a field may be; `None` where it has no bound."""
    low: Any = None
    high: Any = None
    for each in field.metadata:
        if isinstance(each, annotated_types.Ge):
            low = each.ge
        elif isinstance(each, annotated_types.Le):
            high = each.le
        elif isinstance(each, annotated_types.Gt):
            low = _next(field, each.gt, 1)
        elif isinstance(each, annotated_types.Lt):
            high = _next(field, each.lt, -1)
    return low, high


def _next(field: FieldInfo, value: Any, direction: int) -> Any:
    if field.annotation is int:
        return value + direction
    return math.nextafter(value, direction * math.inf)
