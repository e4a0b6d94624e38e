"""The search over techniques and settings: space, samplers, halving, generations."""

from pawl.search.ranking import best_trial, contenders, ranked
from pawl.search.sampler import (
    OptunaSampler,
    Sampler,
    TrialResult,
    check_sampler,
    register_sampler,
    samplers,
    unregister_sampler,
)
from pawl.search.search import SearchPlan, search
from pawl.search.space import Space
from pawl.search.starts import baseline, fitting, starts

__all__ = [
    "OptunaSampler",
    "Sampler",
    "SearchPlan",
    "Space",
    "TrialResult",
    "baseline",
    "best_trial",
    "check_sampler",
    "contenders",
    "fitting",
    "ranked",
    "register_sampler",
    "samplers",
    "search",
    "starts",
    "unregister_sampler",
]
