"""What people write to serve a PyTorch model: a FastAPI handler that reads rows and calls the model.

    python benchmarks/serving_rival.py BUNDLE PORT sync|async

The model is the bundle's own, with its trained weights (`Bundle.module`), called eagerly. Rows arrive
as a validated pydantic model and are made tensors of by dicts, without a data frame; probabilities go
back with the label, as in pawl's answer. `sync` is a `def` handler, which FastAPI runs in its thread
pool, `async` an `async def` one, which computes in the event loop.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from pydantic import create_model

from pawl import Bundle
from pawl.data import ImageFile
from pawl.data.pixels import decode

bundle = Bundle.open(sys.argv[1])
schema = bundle.schema
model = bundle.module()
app = FastAPI()
CLASSES = schema.classes
NUMERIC = [column.name for column in schema.columns if column.kind == "numeric"]
CATEGORICAL = {
    column.name: {text: code for code, text in enumerate(column.categories, start=1)}
    for column in schema.columns
    if column.kind == "categorical"
}
Row = create_model(
    "Row",
    **dict.fromkeys(NUMERIC, (float | None, None)),
    **dict.fromkeys(CATEGORICAL, (str | None, None)),
)
Rows = create_model("Rows", rows=(list[Row], ...))


def answer(inputs: list[torch.Tensor]) -> dict[str, Any]:
    """Predicts, and makes the answer."""
    with torch.inference_mode():
        probabilities = model(*inputs)
    labels = probabilities.argmax(1).tolist()
    return {
        "predictions": [
            {
                "prediction": CLASSES[label],
                **{f"p_{n}": p for n, p in zip(CLASSES, row, strict=True)},
            }
            for label, row in zip(labels, probabilities.tolist(), strict=True)
        ]
    }


def of_rows(given: Any) -> dict[str, Any]:
    """Makes tensors of rows, and predicts."""
    nan = float("nan")
    numbers = [
        [nan if (v := getattr(row, name)) is None else v for name in NUMERIC] for row in given.rows
    ]
    codes = [
        [known.get(getattr(row, name), 0) for name, known in CATEGORICAL.items()]
        for row in given.rows
    ]
    by_name = {"numeric": torch.tensor(numbers), "categorical": torch.tensor(codes)}
    return answer([by_name[spec.name] for spec in schema.inputs])


def of_image(body: bytes) -> dict[str, Any]:
    """Decodes an image, and predicts."""
    _, height, width = schema.inputs[0].shape
    pixels = decode(ImageFile("image", body), schema.image_mode, (height, width))
    return answer([torch.from_numpy(pixels.copy())[None]])


if schema.source == "images":

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        """Predicts an image."""
        body = await request.body()
        if sys.argv[3] == "async":
            return of_image(body)
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(of_image, body)

elif sys.argv[3] == "async":

    @app.post("/predict")
    async def predict_rows(given: Rows) -> dict[str, Any]:  # type: ignore[valid-type]
        """Predicts rows in the event loop."""
        return of_rows(given)

else:

    @app.post("/predict")
    def predict_rows_in_threads(given: Rows) -> dict[str, Any]:  # type: ignore[valid-type]
        """Predicts rows in a thread."""
        return of_rows(given)


uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
