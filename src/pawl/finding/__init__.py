"""Learning rate and batch size of a recipe, found by trainings that leave nothing behind."""

from pawl.finding.batch_size import BatchSizes, SizeTried, find_batch_size
from pawl.finding.rate import find_rate
from pawl.finding.rate_range import RangeTest, RateTried
from pawl.finding.rate_scores import RateScored, RateScores

__all__ = [
    "BatchSizes",
    "RangeTest",
    "RateScored",
    "RateScores",
    "RateTried",
    "SizeTried",
    "find_batch_size",
    "find_rate",
]
