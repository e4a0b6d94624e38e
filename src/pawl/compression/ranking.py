"""Which units of a network go first, and how many of each group of layers may: both are measured.

Units that depend on each other are a group (Fang et al., DepGraph, CVPR 2023). What taking them out
would do is seen before anything is: they are set to zero, and what the network predicts then is held to
what it predicted (Li et al., Pruning filters for efficient convnets, ICLR 2017).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MAGNITUDE, TAYLOR, RANDOM = "magnitude", "taylor", "random"
_SHARE, _ALONE = 0.35, 0.5
"""Of units that are set to zero: in all groups, by each criterion; and in one group alone."""
_LEAST = 0.5
"""Of the share that goes where it does little, the least that goes where it does much."""


@dataclass(frozen=True)
class Ranking:
    """By what units are ranked, and what of each group may go.

    Attributes:
        criterion: `magnitude` or `taylor`.
        moved: Mean squared difference of predictions without 35% of all units, by criterion; `random`
            is a control.
        alone: Likewise without half of one group's units, by the layer that the group begins with.
        shares: What goes of each group in a round, relative to what goes of those that matter least.
    """

    criterion: str
    moved: Mapping[str, float]
    alone: Mapping[str, float]
    shares: Mapping[str, float]

    @property
    def rounds(self) -> float:
        """How many times as many rounds it takes until the same share of all groups has gone."""
        return 1.0 / min(self.shares.values(), default=1.0)

    def facts(self) -> dict[str, Any]:
        """Returns what is put on record."""
        return {"criterion": self.criterion, "moved": self.moved, "moved_alone": self.alone}


def importance(criterion: str) -> Any:
    """Returns what ranks units.

    Args:
        criterion: The norm of a unit's weights, the first term of what the loss would change without it
            (Molchanov et al., Importance estimation for neural network pruning, CVPR 2019), for which
            parameters need gradients, or numbers drawn at random.
    """
    from torch_pruning.pruner import importance as ranks  # noqa: PLC0415  (an extra)

    makers: dict[str, Callable[[], Any]] = {
        MAGNITUDE: lambda: ranks.GroupMagnitudeImportance(p=2),
        TAYLOR: ranks.GroupTaylorImportance,
        RANDOM: ranks.RandomImportance,
    }
    return makers[criterion]()


def ranked(pruner: Any, network: nn.Module, said: Callable[[], Tensor], seed: int) -> Ranking:
    """Measures by which criterion units should be ranked, and which groups can do without many.

    Args:
        pruner: torch-pruning's, of a network whose parameters have gradients.
        network: The network; it is left as it was.
        said: Returns what it predicts, `[R, *P]`.
        seed: Decides the control.
    """
    names = {module: name for name, module in network.named_modules()}
    groups = [each for each in groups_of(pruner) if each[0].dep.target.module in names]
    with torch.no_grad():
        whole = said()

    def apart(chosen: Sequence[Any], criterion: str, share: float) -> float:
        without = _without(pruner, network, chosen, importance(criterion), share)
        with without, torch.no_grad():
            return float((said() - whole).square().mean())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        moved = {each: apart(groups, each, _SHARE) for each in (MAGNITUDE, TAYLOR, RANDOM)}
    criterion = min((MAGNITUDE, TAYLOR), key=lambda each: moved[each])
    alone = {names[each[0].dep.target.module]: apart([each], criterion, _ALONE) for each in groups}
    return Ranking(criterion, moved, alone, shares_of(alone))


def shares_of(alone: Mapping[str, float]) -> dict[str, float]:
    """Returns what goes of each group in a round, so that each moves predictions about alike.

    What units move grows about as the square of their share, so shares go as the inverse root of what
    half of a group moves alone, up to 1 for all below the median.

    Args:
        alone: What half of a group's units move.

    Example:
        >>> shares_of({"a": 1.0, "b": 4.0, "c": 1.0})
        {'a': 1.0, 'b': 0.5, 'c': 1.0}
    """
    if not alone:
        return {}
    middle = float(torch.tensor(list(alone.values()), dtype=torch.float64).median())
    return {
        name: 1.0 if moved <= middle else max(_LEAST, (middle / moved) ** 0.5)
        for name, moved in alone.items()
    }


def groups_of(pruner: Any) -> Iterator[Any]:
    """Yields the groups of units that may go, of a pruner of torch-pruning."""
    yield from pruner.DG.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    )


@contextlib.contextmanager
def _without(
    pruner: Any, network: nn.Module, groups: Sequence[Any], ranks: Any, share: float
) -> Iterator[None]:
    """Sets the least units of groups to zero for a while."""
    kept = [(parameter, parameter.detach().clone()) for parameter in network.parameters()]
    try:
        with torch.no_grad():
            for group in groups:
                scores = ranks(group)
                count = 0 if scores is None else int(share * len(scores))
                if count:
                    root = group[0].dep
                    least = scores.argsort()[:count].tolist()
                    _zeroed(
                        pruner, pruner.DG.get_pruning_group(root.target.module, root.handler, least)
                    )
        yield
    finally:
        with torch.no_grad():
            for parameter, value in kept:
                parameter.copy_(value)


def _zeroed(pruner: Any, group: Any) -> None:
    """Sets what a group's units give to zero."""
    for dep, places in group:
        if not pruner.DG.is_out_channel_pruning_fn(dep.handler):
            continue
        for name in ("weight", "bias"):
            values = getattr(dep.target.module, name, None)
            if isinstance(values, Tensor) and values.dim() and max(places) < len(values):
                values[places] = 0.0
