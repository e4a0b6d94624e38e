"""What a module does when it runs: every operation with an address, and what flows between them.

An operation is a call of one of PyTorch's layers, or of a function, a method or an operator outside
of them. Its address is the submodule that it is, or the submodule whose forward makes the call, the
function's name, and its number among such calls of one forward (`layer1/0:add0`). A PyTorch function
mode sees the calls, hooks say which submodule runs.
"""

from __future__ import annotations

import copy
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from pawl.models.exchanged import DeviationNorm, RootNorm
from pawl.models.layers import OwnActivation, Parametric
from pawl.models.member_layers import MemberLayer

Address = str
NAMES: dict[Any, str] = {}
"""Names under which functions are counted that have several, as `pawl.models.calls` has them."""
_WHOLE = (Parametric, OwnActivation, DeviationNorm, RootNorm, nn.MultiheadAttention)
"""Modules that are one operation, whatever they are made of."""
_PATH = "_pawl_path"
_QUIET = frozenset(
    {"__get__", "size", "dim", "is_contiguous", "numel", "stride", "__len__", "__repr__"}
)
"""Functions that look at a tensor, and make none."""


class _Running(threading.local):
    """The modes that a thread is in, the innermost last."""

    def __init__(self) -> None:
        self.modes: list[Frames] = []


_running = _Running()


def is_layer(module: nn.Module) -> bool:
    """Tells whether a module is one operation: a layer of PyTorch's, or one that pawl puts in."""
    alone = all(name == "parametrizations" for name, _ in module.named_children())
    if isinstance(module, _WHOLE):
        return True
    if isinstance(module, MemberLayer):
        return alone
    home: str = type(module).forward.__module__  # so also a class of the user's that keeps it
    stock = home.startswith("torch.nn.modules.") and not home.endswith((".container", ".module"))
    return stock and alone


class Frames(TorchFunctionMode, ABC):
    """Knows which submodule's forward runs, and counts the functions that it calls."""

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

    def into(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A submodule's forward begins; what a layer calls is its own business."""
        del args, kwargs
        self._frames.append((None if is_layer(module) else self.path(module), Counter()))

    def out(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """A submodule's forward is over."""
        del module, args, kwargs, output
        self._frames.pop()

    def path(self, module: nn.Module) -> str:
        """Returns the name by which a submodule's calls are known."""
        return str(module.__dict__[_PATH])

    def address(self, name: str) -> Address | None:
        """Returns the address of a call that is made now; `None` inside a layer."""
        path, counter = self._frames[-1]
        if path is None:
            return None
        counter[name] += 1
        return f"{path.replace('.', '/')}:{name}{counter[name] - 1}"

    @abstractmethod
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Does what the call does."""


def _enter(module: nn.Module, args: Any, kwargs: Any) -> None:
    for mode in _running.modes:
        mode.into(module, args, kwargs)


def _leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
    for mode in _running.modes:
        mode.out(module, args, kwargs, output)


def listen(module: nn.Module) -> None:
    """Lets submodules say when they run; to be called again when there are new ones.

    What was put around a submodule has its name now: another path, so that their calls are told apart.
    """
    taken = {each.__dict__.get(_PATH) for each in module.modules()}
    for name, each in module.named_modules():
        if not hasattr(each, _PATH):
            each.__dict__[_PATH] = name if name not in taken else f"{name}~"
            each.register_forward_pre_hook(_enter, with_kwargs=True)
            each.register_forward_hook(_leave, with_kwargs=True)


def forget_paths(module: nn.Module) -> None:
    """Undoes `listen`, so that submodules that have moved, or were copied, get names of their own."""
    for each in module.modules():
        if each.__dict__.pop(_PATH, None) is not None:
            for hooks in (each._forward_pre_hooks, each._forward_hooks):
                for key in [key for key, hook in hooks.items() if hook in (_enter, _leave)]:
                    del hooks[key]
                    each._forward_pre_hooks_with_kwargs.pop(key, None)
                    each._forward_hooks_with_kwargs.pop(key, None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation:
    """One call that was seen.

    Attributes:
        address: See above; of a layer its name among the submodules.
        name: Of the function, or the layer's class.
        layer: The layer that was called, of the copy that ran; `None` if it was a function.
        function: What was called.
        args: As it was called.
        kwargs: As it was called.
        inputs: Numbers of the tensors that it got, in order.
        outputs: Numbers of the tensors that it returned. One that it changed in place has a new number.
    """

    address: Address
    name: str
    layer: nn.Module | None
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Span:
    """One call of a submodule.

    Attributes:
        name: The submodule's.
        inputs: Numbers of the tensors that it got.
        outputs: Numbers of the tensors that it returned.
        first: The place of its first operation.
        behind: The place behind its last operation.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    first: int
    behind: int


@dataclass(eq=False)
class Trace:
    """What a module did in one forward.

    Attributes:
        operations: In order.
        tensors: By number. One that was changed in place stands under several.
        shapes: By number.
        results: Numbers of the tensors that it returned.
        spans: Calls of submodules, in the order in which they ended.
    """

    operations: list[Operation] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    results: tuple[int, ...] = ()
    spans: list[Span] = field(default_factory=list)

    def calls_of(self, name: str) -> list[Span]:
        """Returns the calls of a submodule."""
        return [span for span in self.spans if span.name == name]


class _Recorder(Frames):
    """Notes what happens, and lets it be.

    Args:
        module: What is to run; submodules go by their names in it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.trace = Trace()
        self._names = {id(each): name for name, each in module.named_modules()}
        self._numbers: dict[int, int] = {}
        self._calls: Counter[str] = Counter()
        self._open: list[tuple[tuple[int, ...], int, bool]] = []

    def path(self, module: nn.Module) -> str:
        """Returns a submodule's name as it is now."""
        name: str = self._names[id(module)]
        return name

    def into(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Begins."""
        super().into(module, args, kwargs)
        inside = bool(self._open) and self._open[-1][2]
        layer = inside or is_layer(module)
        numbers = () if inside else self.numbers((args, kwargs))
        self._open.append((numbers, len(self.trace.operations), layer))

    def out(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Notes a layer's call, and what a submodule got and gave."""
        super().out(module, args, kwargs, output)
        inputs, first, _ = self._open.pop()
        if self._open and self._open[-1][2]:
            return
        name = self.path(module)
        if is_layer(module) and not isinstance(module, nn.Identity):
            again = self._calls[name]
            self._calls[name] += 1
            address, kind = f"{name}#{again}" if again else name, type(module)
            self._note(address, kind.__name__, module, kind, args, kwargs, inputs, output)
        behind = len(self.trace.operations)
        self.trace.spans.append(Span(name, inputs, self.numbers(output), first, behind))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls, and notes what makes a tensor."""
        given = kwargs or {}
        if self._open and self._open[-1][2]:
            return func(*args, **given)
        name = getattr(func, "__name__", repr(func))
        address = self.address(NAMES.get(func, name))
        if name in _QUIET or address is None:
            return func(*args, **given)
        inputs = self.numbers((args, given))
        before = {id(x): x._version for x in _tensors((args, given))}
        output = func(*args, **given)
        # What returns a tensor that it got, as it was, is no operation: `x.float()` of floats.
        if any(before.get(id(x)) != x._version for x in _tensors(output)):
            self._note(address, name, None, func, args, given, inputs, output)
        return output

    def numbers(self, values: Any) -> tuple[int, ...]:
        """Returns the numbers of the tensors in a nest of values; new ones get a number."""
        return tuple(
            self._number(x) if id(x) not in self._numbers else self._numbers[id(x)]
            for x in _tensors(values)
        )

    def _number(self, x: Tensor) -> int:
        self._numbers[id(x)] = len(self.trace.tensors)
        self.trace.tensors.append(x)  # which keeps its id from being used again
        self.trace.shapes.append(tuple(x.shape))
        return self._numbers[id(x)]

    def _note(
        self,
        address: Address,
        name: str,
        layer: nn.Module | None,
        function: Any,
        args: Any,
        kwargs: Any,
        inputs: tuple[int, ...],
        output: Any,
    ) -> None:
        outputs = tuple(self._number(x) for x in _tensors(output))
        self.trace.operations.append(
            Operation(
                address=address, name=name, layer=layer, function=function, args=tuple(args),
                kwargs=dict(kwargs), inputs=inputs, outputs=outputs,
            )
        )  # fmt: skip


def _tensors(values: Any) -> list[Tensor]:
    return [x for x in pytree.tree_leaves(values) if isinstance(x, Tensor)]


def traced(
    module: nn.Module, run: Callable[[nn.Module], Any], *, training: bool = False
) -> tuple[Trace, nn.Module]:
    """Returns what a module does in one forward, and the copy of it that did.

    Args:
        module: Left as it is.
        run: Runs a module on a few rows.
        training: Whether it trains or is evaluated.
    """
    copied = copy.deepcopy(module).train(training)
    listen(copied)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        with _Recorder(copied) as recorder:
            output = run(copied)
        trace: Trace = recorder.trace
        trace.results = recorder.numbers(output)
    return trace, copied
