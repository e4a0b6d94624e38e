"""Starts from weights that were learned before: read, matched, and what was made of them said."""

from pawl.transfer.sources import Weights, print_of, read_weights
from pawl.transfer.starting import Begun, alike, begin, restarted

__all__ = ["Begun", "Weights", "alike", "begin", "print_of", "read_weights", "restarted"]
