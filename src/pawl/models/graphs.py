"""From a pipeline to an ONNX graph that takes raw inputs."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from pawl.data.types import Examples
from pawl.errors import BundleError, first_line
from pawl.models.corrected_graphs import corrected_graph
from pawl.models.deployed import Averaged, Deployed, Pipeline
from pawl.models.joined_graphs import joined, part, structure, with_tensors
from pawl.models.lengths import lengths_kept
from pawl.models.low_rank import merged
from pawl.models.masks import masks_taken
from pawl.models.operators import operators_kept
from pawl.models.tree_graphs import with_trees

_PLACE = re.compile(r'(?:File "|Caused by: \()([^":\n]+)(?:", line |:)(\d+)')
_LACKING = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
OUTPUT = "prediction"
"""The name of a graph's output."""


def to_onnx(
    model: Pipeline, sample: Examples, traced: dict[str, onnx.ModelProto] | None = None
) -> bytes:
    """Returns the model as an ONNX graph with a free batch axis.

    Each structure is traced once, for all pipelines that differ in their tensors alone.

    Args:
        model: On the CPU.
        sample: At least two rows to trace with.
        traced: Graphs by structure, of models that are still there and this sample; those of other
            structures are added.

    Raises:
        BundleError: The exporter cannot take the model.
    """
    given, model = model, merged(model)
    each = model.members if isinstance(model, Averaged) else [model]
    members = [member for member in each if isinstance(member, Deployed)]
    keys = [structure(member) for member in members]
    # What was made for this alone is gone afterwards, and what is like it by its place in memory is not.
    graphs = {} if traced is None or model is not given else traced
    new = {k: m for k, m in zip(keys, members, strict=True) if k not in graphs}
    if new:
        graphs |= zip(new, _traced(list(new.values()), sample), strict=True)
    parts = [
        with_tensors(graphs[key], member.state_dict())
        for key, member in zip(keys, members, strict=True)
    ]
    if not isinstance(model, Averaged):
        return _written(parts[0])
    if model.corrected is not None:
        whole = corrected_graph(parts, model.groups, model.corrected, OUTPUT)
        return _as_bytes(whole)
    shares = model.shares or [1.0 / len(parts)] * len(parts)
    temperature = None if model.temperature is None else float(model.temperature)
    shift = None if model.shift is None else float(model.shift)
    return _as_bytes(joined(parts, shares, OUTPUT, temperature, shift))


def _written(model: onnx.ModelProto) -> bytes:
    """Returns a graph's bytes, its constants folded, trees as ONNX Runtime has them."""
    from onnxscript import optimizer  # noqa: PLC0415  (slow to import)

    return _as_bytes(optimizer.optimize(model))


def _as_bytes(model: onnx.ModelProto) -> bytes:
    """Returns a graph's bytes, trees as ONNX Runtime has them.

    Shapes of constants are with them alone: ONNX Runtime's quantizers transpose these and leave a second
    note of their shapes as it was, which then contradicts.
    """
    whole = with_trees(model)
    held = {constant.name for constant in whole.graph.initializer}
    noted = [each for each in whole.graph.value_info if each.name not in held]
    del whole.graph.value_info[:]
    whole.graph.value_info.extend(noted)
    return bytes(whole.SerializeToString())


def _traced(models: Sequence[Deployed], sample: Examples) -> list[onnx.ModelProto]:
    """Returns each pipeline's graph as it is traced: constants are its tensors, by name.

    All in one go: most of the exporter's time does not depend on what it exports.
    """
    names = models[0].names
    tensors = tuple(sample.inputs[name] for name in names)
    outputs = [f"{OUTPUT}_{number}" for number in range(len(models))]
    batch = torch.export.Dim("batch", min=1)
    whole = _Several(models)
    try:
        with (
            warnings.catch_warnings(), _quiet(), operators_kept(), lengths_kept(whole), masks_taken(),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                whole,
                tensors,
                dynamo=True,
                verbose=False,
                optimize=False,
                input_names=list(names),
                output_names=outputs,
                dynamic_shapes=(tuple({0: batch} for _ in tensors),),
            )
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter's own words say little
            cause = cause.__cause__
        reason, advice = _reason(cause)
        raise BundleError(f"the model cannot be exported to ONNX ({reason}); {advice}") from error
    assert program is not None
    proto = program.model_proto
    if any(not item.type.tensor_type.shape.dim[0].dim_param for item in proto.graph.input):
        raise BundleError(
            f"the exported model would take {len(sample)} rows at a time and no other number: its "
            "forward makes a plain number of them; take x.shape[0] or len(x) as it is, without int()"
        )
    return [part(proto, number, output, OUTPUT) for number, output in enumerate(outputs)]


def _reason(cause: BaseException) -> tuple[str, str]:
    """Says in a few words why a model cannot be exported, and what to do."""
    lacking = _LACKING.search(str(cause))
    if lacking:
        return f"its operator {lacking[1]} has no ONNX function", "write it by other operators"
    return (
        _untraceable(cause),
        "its forward must be traceable: no branches on values, no conversions to numpy or float",
    )


def _untraceable(cause: BaseException) -> str:
    """Says why a model cannot be traced, and where, if PyTorch knows the line."""
    if "data-dependent" not in str(cause):
        return f"{type(cause).__name__}: {first_line(cause)}"
    places = [
        f" ({Path(file).name}, line {line})"
        for file, line in (found.groups() for found in _PLACE.finditer(str(cause)))
        if not file.startswith("_")  # PyTorch's own files
    ]
    return f"what it does depends on the values of its data{places[0] if places else ''}"


class _Several(nn.Module):
    """Pipelines of the same inputs; returns what each predicts."""

    def __init__(self, members: Sequence[Deployed]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Runs them all."""
        return tuple(member(*tensors) for member in self.members)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's progress off the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
