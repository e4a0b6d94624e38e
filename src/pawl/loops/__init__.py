"""A training loop of a person's own, watched: the same instruments, rules and pictures."""

from pawl.loops.watching import Watch, watch

__all__ = ["Watch", "watch"]
