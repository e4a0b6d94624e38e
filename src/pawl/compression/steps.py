"""All steps of a compression in their usual order, and the orders that they may have besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pawl.compression.candidate import Candidate
from pawl.compression.distilling import STEP as DISTILL
from pawl.compression.distilling import distilled
from pawl.compression.factoring import STEP as LOW_RANK
from pawl.compression.factoring import factored
from pawl.compression.graphs import WEIGHTS, bytes_for_weights, clean, half
from pawl.compression.heads import STEP as HEADS
from pawl.compression.heads import fewer_heads
from pawl.compression.learned_integers import STEP as INT8_TRAINING
from pawl.compression.learned_integers import integers_learned
from pawl.compression.members import STEP as MEMBERS
from pawl.compression.members import fewer_members
from pawl.compression.pruning import STEP as PRUNE
from pawl.compression.pruning import pruned
from pawl.compression.quantizing import STEP as INT8
from pawl.compression.quantizing import quantized
from pawl.compression.sharing import STEP as SHARED
from pawl.compression.sharing import shared
from pawl.compression.sparse import STEP as SPARSE
from pawl.compression.sparse import thinned_out
from pawl.compression.work import Work

Step = Callable[[Work, Candidate], list[Candidate] | str]

STEPS: dict[str, Step] = {
    MEMBERS: fewer_members,
    DISTILL: distilled,
    PRUNE: pruned,
    HEADS: fewer_heads,
    "graph": clean,
    LOW_RANK: factored,
    INT8_TRAINING: integers_learned,
    INT8: quantized,
    WEIGHTS: bytes_for_weights,
    SPARSE: thinned_out,
    SHARED: shared,
    "float16": half,
}
"""In order; what each proposes goes from the candidate that should lose least on."""
OF_THE_GRAPH = ("graph", INT8, WEIGHTS, "float16")
"""Steps that train nothing: where there are limits, they come first, on all that the bundle holds."""
MOVES: tuple[tuple[tuple[str, ...], str], ...] = (
    ((PRUNE,), DISTILL),
    ((INT8_TRAINING, INT8), LOW_RANK),
    ((SHARED,), SPARSE),
)
"""What else the order may be: these steps in front of that one, each tried if that one was kept."""
MOST_ORDERS = 1 + len(MOVES)


def moved(order: Sequence[str], first: Sequence[str], behind: str) -> tuple[str, ...]:
    """Returns an order in which these steps are in front of another one.

    Example:
        >>> moved(("a", "b", "c", "d"), ("c",), "b")
        ('a', 'c', 'b', 'd')
    """
    rest = [name for name in order if name not in first]
    at = rest.index(behind)
    return (*rest[:at], *first, *rest[at:])
