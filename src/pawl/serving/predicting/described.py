"""What a bundle's server takes and gives, for `/schema`."""

from __future__ import annotations

from typing import Any

from pawl.data import Schema
from pawl.deployment import Bundle
from pawl.options.serving import PredictionServerCall
from pawl.serving.predicting.answers import columns_of
from pawl.serving.predicting.bodies import accepted
from pawl.serving.predicting.columns import columns_of_rows, example_rows


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
        found["columns"] = columns_of_rows(schema)
        found["example"] = {"rows": example_rows(schema)}
        if (window := schema.window) is not None:
            found["window"] = {
                "rows": window.steps, "ahead": window.ahead, "time": window.time,
                "series": window.series,
            }  # fmt: skip
    elif schema.source == "images":
        _, height, width = schema.inputs[0].shape
        found["images"] = {"mode": schema.image_mode, "height": height, "width": width}
    else:
        found["inputs"] = _inputs(schema)
    return found


def _inputs(schema: Schema) -> list[dict[str, Any]]:
    masked = any(spec.is_mask for spec in schema.inputs)
    return [
        {"name": spec.name, "shape": spec.shape, "dtype": spec.dtype, "may_be_shorter": masked}
        for spec in schema.inputs
        if not spec.is_mask
    ]
