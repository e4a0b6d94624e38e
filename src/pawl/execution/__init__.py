"""Where and how members are trained: planner, executor, and what a session's phases share."""

from pawl.execution.inline import Heartbeat, Job, Planner, Result, train_all
from pawl.execution.planner import Plan, pick_device, plan
from pawl.execution.session import (
    HOLDOUT_SHARE,
    Listener,
    Resplit,
    Session,
    Silent,
    record_of,
    seconds_per_epoch,
)

__all__ = [
    "HOLDOUT_SHARE",
    "Heartbeat",
    "Job",
    "Listener",
    "Plan",
    "Planner",
    "Resplit",
    "Result",
    "Session",
    "Silent",
    "pick_device",
    "plan",
    "record_of",
    "seconds_per_epoch",
    "train_all",
]
