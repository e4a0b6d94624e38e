"""The search over techniques and settings: space, samplers, halving, generations."""

from pawl.search.ranking import best_trial, contenders, ranked
from pawl.search.search import SearchPlan, search
from pawl.search.space import Space
from pawl.search.starts import baseline, fitting, starts

__all__ = [
    "SearchPlan",
    "Space",
    "baseline",
    "best_trial",
    "contenders",
    "fitting",
    "ranked",
    "search",
    "starts",
]
