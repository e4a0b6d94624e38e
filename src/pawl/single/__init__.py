"""Recipes on their own, without a search: `train` one, `compare` two, `diagnose` one."""

from pawl.single.compared import Compared, compare
from pawl.single.diagnosed import Diagnosed, diagnose
from pawl.single.opening import open_session
from pawl.single.trained import TrainedResult, train

__all__ = ["Compared", "Diagnosed", "TrainedResult", "compare", "diagnose", "open_session", "train"]
