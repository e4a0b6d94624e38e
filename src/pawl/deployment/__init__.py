"""Export, the bundle, prediction, and what a model costs to run."""

from pawl.deployment.bundle import Bundle, write_bundle
from pawl.deployment.cost import BATCH_ROWS, Cost, measure
from pawl.deployment.export import check_parity, predict
from pawl.deployment.memory import Memory, memory
from pawl.deployment.predictions import (
    prediction_arrays,
    prediction_columns,
    prediction_frame,
    without_prediction,
)
from pawl.deployment.records import Costs
from pawl.deployment.timing import ROUNDS, Latency, disturbed, latencies
from pawl.deployment.writing import write_predictions

__all__ = [
    "BATCH_ROWS",
    "ROUNDS",
    "Bundle",
    "Cost",
    "Costs",
    "Latency",
    "Memory",
    "check_parity",
    "disturbed",
    "latencies",
    "measure",
    "memory",
    "predict",
    "prediction_arrays",
    "prediction_columns",
    "prediction_frame",
    "without_prediction",
    "write_bundle",
    "write_predictions",
]
