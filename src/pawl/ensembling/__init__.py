"""Many models as one: learners beside networks, and blends of what raced."""

from pawl.ensembling.blends import candidates
from pawl.ensembling.combiners import COMBINERS, Combiner, greedy, linear, mean
from pawl.ensembling.cycles import snapshots
from pawl.ensembling.learners import (
    NETS,
    check_families,
    families,
    fitting_learners,
    try_learners,
)
from pawl.ensembling.out_of_fold import OutOfFold
from pawl.ensembling.tuning import Tuning, unlike

__all__ = [
    "COMBINERS",
    "NETS",
    "Combiner",
    "OutOfFold",
    "Tuning",
    "candidates",
    "check_families",
    "families",
    "fitting_learners",
    "greedy",
    "linear",
    "mean",
    "snapshots",
    "try_learners",
    "unlike",
]
