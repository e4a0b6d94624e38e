"""What a bundle's server takes and gives, for `/schema`."""

from __future__ import annotations

from typing import Any

from pawl.data import Column, Schema
from pawl.deployment import Bundle
from pawl.options.serving import PredictionServerCall
from pawl.serving.predicting.answers import columns_of
from pawl.serving.predicting.bodies import accepted

_EXAMPLES = {"numeric": 0, "boolean": True, "date": "2026-01-31", "text": "a text"}


def described(bundle: Bundle, options: PredictionServerCall) -> dict[str, Any]:
    """Returns what requests may hold, what answers have, and the limits, ready for JSON."""
    schema = bundle.schema
    found: dict[str, Any] = {
        "name": bundle.task.get("name"),
        "source": schema.source,
        "kind": schema.kind,
        "targets": [
            {"name": each.name, **({"classes": each.classes} if each.classes else {})}
            for each in schema.targets
        ],
        "accepts": accepted(schema),
        "answer": columns_of(bundle),
        "limits": {
            "body_bytes": options.body_bytes,
            "rows": options.max_rows,
            "seconds": options.seconds,
        },
    }
    if schema.source == "table":
        found["columns"] = [_column(each) for each in schema.columns]
        found["example"] = {"rows": [{each.name: _example(each) for each in schema.columns}]}
    elif schema.source == "images":
        _, height, width = schema.inputs[0].shape
        found["images"] = {"mode": schema.image_mode, "height": height, "width": width}
    else:
        found["inputs"] = _inputs(schema)
    return found


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "categorical":
        found["categories"] = column.categories
    return found


def _example(column: Column) -> Any:
    return column.categories[0] if column.categories else _EXAMPLES.get(column.kind)


def _inputs(schema: Schema) -> list[dict[str, Any]]:
    masked = any(spec.is_mask for spec in schema.inputs)
    return [
        {"name": spec.name, "shape": spec.shape, "dtype": spec.dtype, "may_be_shorter": masked}
        for spec in schema.inputs
        if not spec.is_mask
    ]
