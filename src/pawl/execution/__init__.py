"""Where and how members are trained: planner, executors, and what a session's phases share."""

from pawl.execution.clock import Clock, OutOfTime
from pawl.execution.devices import deterministic, pick_device, pick_executor
from pawl.execution.executors import Ask, Heartbeat, Lost, Work
from pawl.execution.heartbeats import PassedOn
from pawl.execution.listener import Listener, Published, Silent
from pawl.execution.measuring import TimingCache
from pawl.execution.outcomes import (
    failed,
    out_of_memory,
    over_folds,
    reason_of,
    record_of,
    shared,
)
from pawl.execution.packing import Job, Planner, Result, train_all
from pawl.execution.planner import Plan, plan
from pawl.execution.reading import ReadTask, read_task
from pawl.execution.rows import FOLDS, SELECTION_SHARE, STOPPING_SHARE, Resplit, Rows
from pawl.execution.session import Session
from pawl.execution.spending import Spent
from pawl.execution.threads import available, driving, slowdown_of_threads
from pawl.execution.timing import seconds_per_epoch
from pawl.execution.trainer import Trainer
from pawl.execution.ways import TrainingWay

__all__ = [
    "FOLDS",
    "SELECTION_SHARE",
    "STOPPING_SHARE",
    "Ask",
    "Clock",
    "Heartbeat",
    "Job",
    "Listener",
    "Lost",
    "OutOfTime",
    "PassedOn",
    "Plan",
    "Planner",
    "Published",
    "ReadTask",
    "Resplit",
    "Result",
    "Rows",
    "Session",
    "Silent",
    "Spent",
    "TimingCache",
    "Trainer",
    "TrainingWay",
    "Work",
    "available",
    "deterministic",
    "driving",
    "failed",
    "out_of_memory",
    "over_folds",
    "pick_device",
    "pick_executor",
    "plan",
    "read_task",
    "reason_of",
    "record_of",
    "seconds_per_epoch",
    "shared",
    "slowdown_of_threads",
    "train_all",
]
