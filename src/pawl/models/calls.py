"""Layers that a module calls as functions, made modules: surgery then sees them like any other.

While a revealed module runs, a PyTorch function mode gives each call of a known address
(`pawl.models.operations`) to the module that stands for it. What is not called so costs a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from pawl.models.keyed_calls import DRAWING, KeyedScores, keyed
from pawl.models.layers import ByMode, OwnActivation
from pawl.models.member_layers import KeyedDropout
from pawl.models.operations import NAMES, Address, Frames, Operation, Trace, traced

Made = Callable[..., nn.Module]
"""Returns the module of a call's arguments behind the first: modules take what functions take."""


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> nn.Module:
    if (min_val, max_val) == (0.0, 6.0):
        return nn.ReLU6(inplace)
    return nn.Hardtanh(min_val, max_val, inplace)


_KNOWN: Mapping[Any, tuple[str, Made]] = {
    F.relu: ("relu", nn.ReLU),
    torch.relu: ("relu", nn.ReLU),
    torch.Tensor.relu: ("relu", nn.ReLU),
    torch.relu_: ("relu", partial(nn.ReLU, inplace=True)),
    torch.Tensor.relu_: ("relu", partial(nn.ReLU, inplace=True)),
    F.relu6: ("relu6", nn.ReLU6),
    F.hardtanh: ("hardtanh", _hardtanh),
    F.leaky_relu: ("leaky_relu", nn.LeakyReLU),
    F.elu: ("elu", nn.ELU),
    F.selu: ("selu", nn.SELU),
    torch.selu: ("selu", nn.SELU),
    F.silu: ("silu", nn.SiLU),
    F.mish: ("mish", nn.Mish),
    F.hardswish: ("hardswish", nn.Hardswish),
    F.gelu: ("gelu", nn.GELU),
    F.softplus: ("softplus", nn.Softplus),
    F.glu: ("glu", nn.GLU),
    F.max_pool2d: ("max_pool2d", nn.MaxPool2d),
    F.avg_pool2d: ("avg_pool2d", nn.AvgPool2d),
}
"""Functions that are layers wherever they are called, and the module of a call's arguments.

Sigmoid and hyperbolic tangent are none of them: called as functions they are mostly gates, unless a
layer takes what they return.
"""
_DROPOUT = {F.dropout: ("dropout", False), F.dropout2d: ("dropout2d", True)}
_SCORES = F.scaled_dot_product_attention
_RATE_OF_SCORES = 4  # where it stands among their arguments
_PRODUCTS: tuple[Any, ...] = (torch.mul, torch.Tensor.mul, torch.Tensor.__mul__)
_SIGMOIDS: tuple[Any, ...] = (F.sigmoid, torch.sigmoid, torch.Tensor.sigmoid)
_TANHS: tuple[Any, ...] = (F.tanh, torch.tanh, torch.Tensor.tanh)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_PASSED_ON = (KeyedDropout, nn.Dropout, nn.Flatten)
_TAKING = (nn.Linear, _ConvNd, _NormBase, nn.GroupNorm, nn.LayerNorm)
NAMES.update({function: name for function, (name, _) in _KNOWN.items()})
NAMES.update({function: name for function, (name, _) in _DROPOUT.items()})
NAMES.update(dict.fromkeys(_PRODUCTS, "mul"))
NAMES.update(dict.fromkeys(_SIGMOIDS, "sigmoid"))
NAMES.update(dict.fromkeys(_TANHS, "tanh"))
NAMES.update(DRAWING)
_EXCHANGED = frozenset([*_KNOWN, *_DROPOUT, *_PRODUCTS, *_SIGMOIDS, *_TANHS, *DRAWING, _SCORES])


@dataclass(frozen=True, eq=False)
class Call:
    """A call that was seen.

    Attributes:
        module: What does the same.
        in_place: Whether the call changes its argument.
        argument: The place of the argument that the module gets; `None` if it gets them all.
    """

    module: nn.Module
    in_place: bool = False
    argument: int | None = 0


class Swapped(Frames):
    """Gives calls to the modules that stand for them.

    Args:
        modules: By address.
        calls: How they were called, by address.
    """

    def __init__(self, modules: nn.ModuleDict, calls: Mapping[Address, Call]) -> None:
        super().__init__()
        self._modules_by_address, self._calls = modules, calls

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls the module in place of the function."""
        given = kwargs or {}
        if func not in _EXCHANGED:
            return func(*args, **given)
        address = self.address(NAMES.get(func, func.__name__))
        call = self._calls.get(address) if address is not None else None
        if call is None or address is None:
            return func(*args, **given)
        module = self._modules_by_address[address]
        if call.argument is None:
            return module(*args, **given)
        x: Tensor = args[call.argument] if args else given["input"]
        if not call.in_place:
            return module(x)
        # What follows may look at the argument, and not at what was returned. The module gets a copy:
        # it may keep what it was given, for the gradient.
        return x.copy_(module(x.clone()))


def calls_of(module: nn.Module, run: Callable[[nn.Module], Any]) -> dict[Address, Call]:
    """Returns the layers that a module calls as functions, in training or in evaluation.

    Args:
        module: Left as it is.
        run: Runs a module on a few rows.
    """
    evaluated, trained = (traced(module, run, training=each)[0] for each in (False, True))
    seen = _seen(evaluated)
    for address, call in _seen(trained).items():
        mine = seen.setdefault(address, call)
        if repr(mine.module) == repr(call.module):
            continue
        if isinstance(mine.module, _POOLS):  # a choice of the user's
            del seen[address]
        else:
            both = OwnActivation(ByMode(call.module, mine.module))
            seen[address] = replace(mine, module=both)
    drops = _dropping(trained), _dropping(evaluated)
    for address, (rate, channels, training, in_place) in drops[0].items():
        # One that drops whatever the module does, or never, is a choice of the user's.
        other = drops[1].get(address, (rate, channels, False, in_place))
        if training and other == (rate, channels, False, in_place) and rate < 1.0:
            seen[address] = Call(KeyedDropout(rate, channels=channels), in_place)
    quiet = {op.address for op in evaluated.operations if _drawing(op) is not None}
    for op in trained.operations:
        if op.address not in quiet and (drawing := _drawing(op)) is not None:
            seen[op.address] = Call(drawing, argument=None)
    return seen


def _drawing(op: Operation) -> nn.Module | None:
    """Returns what draws by a key in the place of a call; `None` of one that does not draw."""
    if op.function is not _SCORES:
        return keyed(op.function, op.kwargs)
    given = op.args[_RATE_OF_SCORES] if len(op.args) > _RATE_OF_SCORES else 0.0
    rate = float(op.kwargs.get("dropout_p", given))
    return KeyedScores(rate) if 0.0 < rate < 1.0 else None


def _seen(trace: Trace) -> dict[Address, Call]:
    """Returns what is known wherever it is called, and products that are an activation."""
    found: dict[Address, Call] = {}
    makers = {number: op for op in trace.operations for number in op.outputs}
    for op in trace.operations:
        if op.layer is not None:
            continue
        if op.function in _KNOWN:
            _, make = _KNOWN[op.function]
            given = {name: value for name, value in op.kwargs.items() if name != "input"}
            if given.pop("return_indices", False):
                continue
            module = make(*op.args[1:], **given)
            in_place = bool(module.__dict__.get("inplace"))
            if in_place:  # `Swapped` sees to that
                module.__dict__["inplace"] = False
            found[op.address] = Call(module, in_place)
        elif op.function in _PRODUCTS and (gated := _gated(op, makers)) is not None:
            found[op.address] = Call(nn.SiLU(), argument=gated)
        elif op.function in (*_SIGMOIDS, *_TANHS) and _reaches_layers(op, trace):
            found[op.address] = Call(nn.Sigmoid() if op.function in _SIGMOIDS else nn.Tanh())
    return found


def _reaches_layers(op: Operation, trace: Trace) -> bool:
    """Tells whether layers with weights, and nothing else, take what a call returns."""
    (number,) = op.outputs
    takers = [each for each in trace.operations if number in each.inputs]
    if number in trace.results or not takers:
        return False
    return all(
        isinstance(each.layer, _TAKING)
        or ((isinstance(each.layer, _PASSED_ON) or each.name in ("dropout", "flatten"))
            and _reaches_layers(each, trace))
        for each in takers
    )  # fmt: skip


def _gated(op: Operation, makers: Mapping[int, Operation]) -> int | None:
    """Returns which factor of a product the other is the sigmoid of: `x * sigmoid(x)` is a swish."""
    if len(op.args) != 2 or len(op.inputs) != 2:
        return None
    for place, (x, gate) in enumerate([op.inputs, op.inputs[::-1]]):
        maker = makers.get(gate)
        if maker is not None and maker.function in _SIGMOIDS and maker.inputs == (x,):
            return place
    return None


def _dropping(trace: Trace) -> dict[Address, tuple[float, bool, bool, bool]]:
    """Returns rate, whether channels are dropped, whether it does, and whether in place."""
    found = {}
    for op in trace.operations:
        if op.layer is None and op.function in _DROPOUT:
            values = {"p": 0.5, "training": True, "inplace": False}
            values |= dict(zip(values, op.args[1:], strict=False))
            values |= {name: value for name, value in op.kwargs.items() if name in values}
            found[op.address] = (
                float(values["p"]), _DROPOUT[op.function][1], bool(values["training"]),
                bool(values["inplace"]),
            )  # fmt: skip
    return found
