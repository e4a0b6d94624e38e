"""What a model does, with evidence for each explanation."""

from pawl.explaining.explain import Explained, explain
from pawl.explaining.result import Explanation

__all__ = ["Explained", "Explanation", "explain"]
