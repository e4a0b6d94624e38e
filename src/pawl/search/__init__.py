"""The search over techniques and settings: space, samplers, halving, generations."""

from pawl.search.edits import EditSampler
from pawl.search.optuna_sampler import OptunaSampler
from pawl.search.protocols import Sampler, Searchable, TrialResult
from pawl.search.ranking import best_first, contenders, ranked
from pawl.search.samplers import (
    register_sampler,
    samplers,
    unregister_sampler,
)
from pawl.search.schedulers import (
    Halving,
    Median,
    Scheduler,
    ToTheEnd,
    make_scheduler,
    register_scheduler,
    schedulers,
    unregister_scheduler,
)
from pawl.search.search import SearchPlan, is_known_turn, search
from pawl.search.space import Space
from pawl.search.starts import baseline, fitting, starts
from pawl.search.strategy import Strategy, check_strategy

__all__ = [
    "EditSampler",
    "Halving",
    "Median",
    "OptunaSampler",
    "Sampler",
    "Scheduler",
    "SearchPlan",
    "Searchable",
    "Space",
    "Strategy",
    "ToTheEnd",
    "TrialResult",
    "baseline",
    "best_first",
    "check_strategy",
    "contenders",
    "fitting",
    "is_known_turn",
    "make_scheduler",
    "ranked",
    "register_sampler",
    "register_scheduler",
    "samplers",
    "schedulers",
    "search",
    "starts",
    "unregister_sampler",
    "unregister_scheduler",
]
