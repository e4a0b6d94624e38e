"""A training loop of a person's own, watched: the same instruments, rules and pictures."""

from pawl.loops.watch import Watch, watch

__all__ = ["Watch", "watch"]
