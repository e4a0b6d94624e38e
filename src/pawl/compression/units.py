"""Units that go together: which of them can, in which rounds they do, and which are left.

By torch-pruning (an extra), which sees what depends on what in a network by its gradients' graph (Fang
et al., DepGraph, CVPR 2023).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from pawl.compression.features import LAYERS
from pawl.compression.ranking import MAGNITUDE, Ranking, groups_of, importance
from pawl.errors import first_line
from pawl.models import Deployed

_ROUNDS, _SHARE, ROUND_TO = 6, 0.9, 8


def pruner_of(
    member: Deployed,
    example: tuple[Tensor, ...],
    whole: Sequence[str] = (),
    order: Ranking | None = None,
) -> Any:
    """Returns what takes units out: of all layers alike, or of those that matter less sooner."""
    import torch_pruning  # noqa: PLC0415  (an extra)

    layers = dict(member.named_modules())
    shares = {} if order is None else order.shares
    rounds = _ROUNDS if order is None else math.ceil(_ROUNDS * order.rounds)
    most = _SHARE * rounds / _ROUNDS  # is cut off at the share, which some layers reach sooner
    return torch_pruning.pruner.BasePruner(
        member, example, forward_fn=lambda module, given: module(*given),
        importance=importance(MAGNITUDE if order is None else order.criterion),
        pruning_ratio=_SHARE, max_pruning_ratio=_SHARE, iterative_steps=rounds, round_to=ROUND_TO,
        pruning_ratio_dict={layers[name]: share * most for name, share in shares.items()},
        ignored_layers=[_last_layer(member, example), *(layers[name] for name in whole)],
    )  # fmt: skip


def unbreakable(member: Deployed, example: tuple[Tensor, ...]) -> list[str]:
    """Returns the layers of which no units can go, since the network then breaks; few networks have any.

    Raises:
        ValueError: All are.
    """
    shape = member(*example).shape

    def broken(layers: Sequence[str]) -> str:
        """Tries it on a copy: takes out units of these layers, and says what happens."""
        other = copy.deepcopy(member)
        named, pruner = dict(other.named_modules()), pruner_of(other, example)
        names = {module: name for name, module in named.items()}
        try:
            for group in list(groups_of(pruner)):
                root = group[0].dep
                if names.get(root.target.module) in layers:
                    least = list(range(min(ROUND_TO, len(group[0].idxs) // 2)))
                    pruner.DG.get_pruning_group(root.target.module, root.handler, least).prune()
            return "" if other(*example).shape == shape else "its outputs would change"
        except Exception as error:  # whatever the network does then
            return first_line(error)

    names = {module: name for name, module in member.named_modules()}
    groups = [group[0].dep.target.module for group in groups_of(pruner_of(member, example))]
    every = [names[module] for module in groups if module in names]
    if not broken(every):
        return []
    whole = {name: why for name in every if (why := broken([name]))}
    if every and len(whole) == len(every):
        raise ValueError(f"units of {every[0]!r} cannot go: {whole[every[0]]}")
    return [*whole]


def rewound(first: Deployed, example: tuple[Tensor, ...], pruner: Any) -> dict[str, Tensor]:
    """Returns the weights of the network before any pruning, of the units that are left."""
    import torch_pruning  # noqa: PLC0415  (an extra)

    again = copy.deepcopy(first)
    graph = torch_pruning.DependencyGraph().build_dependency(
        again, example, forward_fn=lambda module, given: module(*given)
    )
    graph.load_pruning_history(list(pruner.pruning_history()))
    return dict(again.state_dict())


def places_left(pruner: Any, *, of_outputs: bool = True) -> dict[str, np.ndarray]:
    """Returns which units of layers are left, or of the inputs of those that were pruned by these."""
    layers = dict(pruner.model.named_modules())
    known = pruner.layer_init_out_ch if of_outputs else pruner.layer_init_in_ch
    kept: dict[str, np.ndarray] = {}
    for name, outputs, places in pruner.pruning_history():
        if outputs == of_outputs:
            before = kept.get(name, np.arange(known[layers[name]]))
            kept[name] = np.delete(before, np.asarray(places, dtype=np.int64))
    return kept


def kept(pruner: Any) -> dict[str, str]:
    """Returns which units of each layer are left, by their places at first, as in `0-3,7`."""
    found = {name: ranges(places.tolist()) for name, places in places_left(pruner).items()}
    inputs = {
        f"{n} (inputs)": ranges(p.tolist())
        for n, p in places_left(pruner, of_outputs=False).items()
    }
    return {**found, **inputs}


def ranges(numbers: Sequence[int]) -> str:
    """Returns ascending numbers as ranges.

    Example:
        >>> ranges([0, 1, 2, 3, 7, 9, 10])
        '0-3,7,9-10'
    """
    told: list[list[int]] = []
    for each in numbers:
        if told and each == told[-1][-1] + 1:
            told[-1][1:] = [each]
        else:
            told.append([each])
    return ",".join("-".join(map(str, each)) for each in told)


def _last_layer(member: Deployed, example: tuple[Tensor, ...]) -> nn.Module:
    """Returns the layer that is called last, whose units are the outputs."""
    called: list[nn.Module] = []
    layers = [each for each in member.body.modules() if isinstance(each, LAYERS)]
    handles = [
        each.register_forward_hook(lambda module, *_: called.append(module)) for each in layers
    ]
    member(*example)
    for handle in handles:
        handle.remove()
    if not called:
        raise ValueError("it has no layers that are known")
    return called[-1]
