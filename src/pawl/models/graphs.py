"""From a pipeline to an ONNX graph that takes raw inputs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import torch

from pawl.data.types import Examples
from pawl.errors import BundleError, first_line
from pawl.models.deployed import Pipeline

OUTPUT = "prediction"
"""The name of a graph's output."""


def to_onnx(model: Pipeline, sample: Examples) -> bytes:
    """Returns the model as an ONNX graph with a free batch axis.

    Args:
        model: On the CPU.
        sample: At least two rows to trace with.

    Raises:
        BundleError: The exporter cannot take the model.
    """
    tensors = tuple(sample.inputs[name] for name in model.names)
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                tensors,
                dynamo=True,
                verbose=False,
                input_names=list(model.names),
                output_names=[OUTPUT],
                dynamic_shapes=(tuple({0: batch} for _ in tensors),),
            )
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter's own words say little
            cause = cause.__cause__
        raise BundleError(
            f"the model cannot be exported to ONNX ({type(cause).__name__}: {first_line(cause)}); "
            "its forward must be traceable: no branches on values, no conversions to numpy or float"
        ) from error
    assert program is not None
    if any(not item.type.tensor_type.shape.dim[0].dim_param
           for item in program.model_proto.graph.input):  # fmt: skip
        raise BundleError(
            f"the exported model would take {len(sample)} rows at a time and no other number: its "
            "forward fixes it; ask for the number of rows by x.shape[0], not by len(x)"
        )
    return bytes(program.model_proto.SerializeToString())


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
