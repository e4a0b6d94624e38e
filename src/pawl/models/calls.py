"""Activations that a module calls as functions, made modules: surgery then sees them like any other.

A call has an address: the submodule whose forward makes it, the function's name, and its number among
such calls of one forward. While a revealed module runs, a PyTorch function mode gives each call of a
known address to the module that stands for it. What is not called so costs a look-up.
"""

from __future__ import annotations

import copy
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pawl.models.surgery import ACTIVATION_TYPES

Address = str
_PATH = "_pawl_path"


class _Running(threading.local):
    """The modes that a thread is in, the innermost last."""

    def __init__(self) -> None:
        self.modes: list[_Calls] = []


_running = _Running()


Made = Callable[..., nn.Module]
"""Returns the module of a call's arguments behind the first: modules take what functions take."""
_KNOWN: Mapping[Any, tuple[str, Made]] = {
    F.relu: ("relu", nn.ReLU),
    torch.relu: ("relu", nn.ReLU),
    torch.Tensor.relu: ("relu", nn.ReLU),
    torch.relu_: ("relu", partial(nn.ReLU, inplace=True)),
    torch.Tensor.relu_: ("relu", partial(nn.ReLU, inplace=True)),
    F.relu6: ("relu6", nn.ReLU6),
    F.leaky_relu: ("leaky_relu", nn.LeakyReLU),
    F.elu: ("elu", nn.ELU),
    F.selu: ("selu", nn.SELU),
    torch.selu: ("selu", nn.SELU),
    F.silu: ("silu", nn.SiLU),
    F.mish: ("mish", nn.Mish),
    F.hardswish: ("hardswish", nn.Hardswish),
    F.gelu: ("gelu", nn.GELU),
    F.softplus: ("softplus", nn.Softplus),
}
"""Functions that are activations wherever they are called, and the module of a call's arguments.

Sigmoid and hyperbolic tangent are none of them: called as functions they are mostly gates.
"""


@dataclass(frozen=True, eq=False)
class Call:
    """A call that was seen: the module that does the same, and whether it changes its argument."""

    module: nn.Module
    in_place: bool


class _Calls(TorchFunctionMode, ABC):
    """Gives every call of a known function its address, and says what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self._frames: list[tuple[str | None, Counter[str]]] = [("", Counter())]

    def __enter__(self) -> Any:
        """Starts to listen."""
        _running.modes.append(self)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> Any:
        """Stops."""
        _running.modes.pop()
        return super().__exit__(*error)  # type: ignore[no-untyped-call]

    def into(self, path: str | None) -> None:
        """A submodule's forward begins; without a path its calls are its own business."""
        self._frames.append((path, Counter()))

    def out(self) -> None:
        """A submodule's forward is over."""
        self._frames.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Looks the function up."""
        known = _KNOWN.get(func)
        if known is None:
            return func(*args, **(kwargs or {}))
        path, counter = self._frames[-1]
        if path is None:
            return func(*args, **(kwargs or {}))
        name, make = known
        address = f"{path.replace('.', '/')}:{name}{counter[name]}"
        counter[name] += 1
        return self.called(address, make, func, args, kwargs or {})

    @abstractmethod
    def called(
        self, address: Address, make: Made, func: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Returns what the call does."""


class _Watching(_Calls):
    """Notes calls, and lets them be."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Address, Call] = {}

    def called(
        self, address: Address, make: Made, func: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Notes it."""
        given = {name: value for name, value in kwargs.items() if name != "input"}
        if address not in self.seen:
            module = make(*args[1:], **given)
            in_place = bool(module.__dict__.get("inplace"))
            if in_place:  # `Swapped` sees to that
                module.__dict__["inplace"] = False
            self.seen[address] = Call(module, in_place)
        return func(*args, **kwargs)


class Swapped(_Calls):
    """Gives calls to the modules that stand for them.

    Args:
        modules: By address; those that change their argument are named in `in_place`.
        in_place: Addresses.
    """

    def __init__(self, modules: nn.ModuleDict, in_place: frozenset[Address]) -> None:
        super().__init__()
        self._modules_by_address, self._in_place = modules, in_place

    def called(
        self, address: Address, make: Made, func: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Calls the module in place of the function."""
        del make
        if address not in self._modules_by_address:
            return func(*args, **kwargs)
        x: Tensor = args[0] if args else kwargs["input"]
        module = self._modules_by_address[address]
        if address not in self._in_place:
            return module(x)
        # What follows may look at the argument, and not at what was returned. The module gets a copy:
        # it may keep what it was given, for the gradient.
        return x.copy_(module(x.clone()))


def _enter(module: nn.Module, _: Any) -> None:
    for mode in _running.modes[-1:]:
        is_one = isinstance(module, ACTIVATION_TYPES)  # an activation is seen as the module it is
        mode.into(None if is_one else getattr(module, _PATH))


def _leave(module: nn.Module, _: Any, __: Any) -> None:
    del module
    for mode in _running.modes[-1:]:
        mode.out()


def listen(module: nn.Module) -> None:
    """Lets submodules say when they run; to be called again when there are new ones."""
    for name, each in module.named_modules():
        if not hasattr(each, _PATH):
            each.__dict__[_PATH] = name
            each.register_forward_pre_hook(_enter)
            each.register_forward_hook(_leave)


def calls_of(module: nn.Module, run: Callable[[nn.Module], Any]) -> dict[Address, Call]:
    """Returns the activations that a module calls as functions, in training or in evaluation.

    Args:
        module: Left as it is.
        run: Runs a module on a few rows.
    """
    seen: dict[Address, Call] = {}
    for training in (False, True):
        copied = copy.deepcopy(module).train(training)
        listen(copied)
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _Watching() as watching:
            run(copied)
        seen = watching.seen | seen
    return seen
