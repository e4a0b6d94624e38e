"""Campaigns over a plain function: search, paired evidence over seeds, report; in any framework."""

from pawl.functions.face import Tuned, tune
from pawl.functions.summary import FunctionSummary

__all__ = ["FunctionSummary", "Tuned", "tune"]
