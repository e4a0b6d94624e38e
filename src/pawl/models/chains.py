"""Layers that a forward calls one after the other, without a submodule around them.

A chain starts at a layer with weights; each layer of it takes what the one before it returns, which
nothing else does. So they can be called at once in the place of the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from torch import nn
from torch.nn.modules.conv import _ConvNd

from pawl.models.operations import Operation, Trace

_LEADING = (nn.Linear, _ConvNd)
Bends = Callable[[Operation], bool]


def chained(trace: Trace, module: nn.Module, bends: Bends) -> list[tuple[str, ...]]:
    """Returns the names of the layers of each chain that keeps the shape of what it gets.

    Args:
        trace: What a module did.
        module: The copy that ran.
        bends: Tells whether an operation is no linear one; a chain has such.
    """
    readers = Counter(number for op in trace.operations for number in op.inputs)
    readers.update(trace.results)
    taking = {number: op for op in trace.operations for number in op.inputs}
    once = _called_once(trace, module)
    found = []
    for op in trace.operations:
        if not isinstance(op.layer, _LEADING) or op.address not in once or len(op.inputs) != 1:
            continue
        chain = [op]
        while readers[chain[-1].outputs[0]] == 1:
            after = taking.get(chain[-1].outputs[0])
            if after is None or after.address not in once or isinstance(after.layer, _LEADING):
                break
            if len(after.inputs) != 1 or len(after.outputs) != 1:
                break
            chain.append(after)
        # As much as keeps the shape: pooling is left out.
        while chain and trace.shapes[chain[-1].outputs[0]] != trace.shapes[op.inputs[0]]:
            chain.pop()
        if len(chain) > 1 and any(map(bends, chain)):
            found.append(tuple(each.address for each in chain))
    return found


def _called_once(trace: Trace, module: nn.Module) -> set[str]:
    """Returns the layers that are called once and have one name."""
    calls = Counter(op.address.partition("#")[0] for op in trace.operations if op.layer is not None)
    names = Counter(id(each) for _, each in module.named_modules(remove_duplicate=False))
    return {
        name for name, each in module.named_modules() if calls[name] == 1 and names[id(each)] == 1
    }
