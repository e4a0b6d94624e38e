"""Options: each is one field, and everything that takes, shows or keeps it is made of that field."""

from pawl.options.campaign import (
    Call,
    CompareCall,
    Options,
    PlanOptions,
    RunOptions,
    TaskOptions,
    TrainCall,
    TuneCall,
    TuneOptions,
    in_order,
)
from pawl.options.compressing import CompressCall
from pawl.options.diagnosing import DiagnoseCall
from pawl.options.explaining import ExplainCall
from pawl.options.face import (
    comparing,
    diagnosing,
    of_bundle,
    optimizing,
    training,
    tuning,
)
from pawl.options.finding import FindBatchSizeCall, FindOptions, FindRateCall
from pawl.options.limits import LimitOptions
from pawl.options.model import OptionsModel, plain
from pawl.options.reading import AS_IT_IS, DATE_ORDERS, READ_OPTIONS, ColumnKind, ReadOptions
from pawl.options.shared import (
    Deliver,
    Ensemble,
    ExecutorName,
    FollowOptions,
    KindName,
    is_recorded,
    sink_of,
)

__all__ = [
    "AS_IT_IS",
    "DATE_ORDERS",
    "READ_OPTIONS",
    "Call",
    "ColumnKind",
    "CompareCall",
    "CompressCall",
    "Deliver",
    "DiagnoseCall",
    "Ensemble",
    "ExecutorName",
    "ExplainCall",
    "FindBatchSizeCall",
    "FindOptions",
    "FindRateCall",
    "FollowOptions",
    "KindName",
    "LimitOptions",
    "Options",
    "OptionsModel",
    "PlanOptions",
    "ReadOptions",
    "RunOptions",
    "TaskOptions",
    "TrainCall",
    "TuneCall",
    "TuneOptions",
    "comparing",
    "diagnosing",
    "in_order",
    "is_recorded",
    "of_bundle",
    "optimizing",
    "plain",
    "sink_of",
    "training",
    "tuning",
]
