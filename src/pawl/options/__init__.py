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
from pawl.options.explaining import ExplainCall
from pawl.options.face import comparing, of_bundle, optimizing, training, tuning
from pawl.options.limits import LimitOptions
from pawl.options.model import OptionsModel, plain
from pawl.options.reading import AS_IT_IS, DATE_ORDERS, READ_OPTIONS, ColumnKind, ReadOptions
from pawl.options.shared import Deliver, Ensemble, ExecutorName, KindName

__all__ = [
    "AS_IT_IS",
    "DATE_ORDERS",
    "READ_OPTIONS",
    "Call",
    "ColumnKind",
    "CompareCall",
    "CompressCall",
    "Deliver",
    "Ensemble",
    "ExecutorName",
    "ExplainCall",
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
    "in_order",
    "of_bundle",
    "optimizing",
    "plain",
    "training",
    "tuning",
]
