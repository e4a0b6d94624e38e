"""Export, the bundle, prediction, and what a model costs to run."""

from pawl.deployment.bundle import Bundle, prediction_frame, write_bundle, write_predictions
from pawl.deployment.cost import BATCH_ROWS, Cost, measure
from pawl.deployment.export import check_parity, predict, to_onnx

__all__ = [
    "BATCH_ROWS",
    "Bundle",
    "Cost",
    "check_parity",
    "measure",
    "predict",
    "prediction_frame",
    "to_onnx",
    "write_bundle",
    "write_predictions",
]
