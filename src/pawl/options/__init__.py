"""Options: each is one field, and everything that takes, shows or keeps it is made of that field."""

from pawl.options.campaign import (
    Call,
    CompareCall,
    Deliver,
    ExecutorName,
    Options,
    PlanOptions,
    RunOptions,
    TaskOptions,
    TrainCall,
    in_order,
)
from pawl.options.face import comparing, optimizing, training
from pawl.options.model import OptionsModel, plain
from pawl.options.reading import AS_IT_IS, DATE_ORDERS, READ_OPTIONS, ColumnKind, ReadOptions

__all__ = [
    "AS_IT_IS",
    "DATE_ORDERS",
    "READ_OPTIONS",
    "Call",
    "ColumnKind",
    "CompareCall",
    "Deliver",
    "ExecutorName",
    "Options",
    "OptionsModel",
    "PlanOptions",
    "ReadOptions",
    "RunOptions",
    "TaskOptions",
    "TrainCall",
    "comparing",
    "in_order",
    "optimizing",
    "plain",
    "training",
]
