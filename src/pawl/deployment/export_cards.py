"""What cards of exports say: what goes in, what comes out, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable

from pawl.data.types import Schema
from pawl.deployment.raw_graphs import RawInput, raw_inputs, raw_outputs
from pawl.kinds import KINDS


def _how_onnx(schema: Schema) -> str:
    lines = [f"- `{each.name}`: {_told(each)}" for each in raw_inputs(schema)]
    gives = " and ".join(f"`{name}`" for name in raw_outputs(schema))
    dates = (
        " A part of a date is days since 1970-01-01, month (1 to 12), weekday (0 from Monday) or hour."
        if any(each.kind == "date" for each in schema.columns)
        else ""
    )
    return (
        f"`model.onnx` takes these and returns {gives}.{dates}\n\n" + "\n".join(lines) + "\n\n"
        "```python\nimport onnxruntime\n\n"
        'running = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])\n'
        "print(running.run(None, {name: column for name, column in rows.items()}))\n```"
    )


def _told(each: RawInput) -> str:
    """Says what an input of an ONNX graph holds."""
    spec = each.spec
    if each.categories is not None:
        return f'text `[rows]`, one of {len(each.categories)} known to it; "" where it is missing'
    if each.place is not None:
        return "float32 `[rows]`, NaN where it is missing"
    shape = ", ".join(map(str, spec.shape))
    steps = (
        f": of each row before it, the oldest first, {', '.join(spec.features)}; NaN where it is missing"
        if spec.features and len(spec.shape) > 1
        else ""
    )
    return f"{spec.dtype} `[rows, {shape}]`{steps}"


def _how_torch(schema: Schema) -> str:
    gives = f"class numbers (of {list(schema.classes)}) and probabilities"
    return (
        "`model.pt2` takes the tensors that are listed above, in this order, and returns "
        f"{gives if KINDS[schema.kind].has_classes else 'values'}.\n\n"
        "```python\nimport torch\n\n"
        'module = torch.export.load("model.pt2").module()\n'
        f"print(module({', '.join(spec.name for spec in schema.inputs)}))\n```"
    )


def _how_safetensors(schema: Schema) -> str:
    return (
        "`model.safetensors` has the weights by name, `recipe.toml` and `task.json` how the module is "
        "built that they belong to. It takes the tensors that are listed above, in this order.\n\n"
        "```python\nimport pawl\n\n"
        'module = pawl.load_safetensors(".")  # of a model of your own: load_safetensors(".", MyModel)\n'
        f"print(module({', '.join(spec.name for spec in schema.inputs)}))\n```"
    )


HOW: dict[str, Callable[[Schema], str]] = {
    "onnx": _how_onnx,
    "torch-export": _how_torch,
    "safetensors": _how_safetensors,
}
