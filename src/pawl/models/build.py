"""From a task to a module that takes `Inputs`: pawl's own networks, or the user's, adapted."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from pawl.data.types import Inputs, ModelSpec, Schema
from pawl.errors import TaskError, first_line
from pawl.models.calls import Call, Swapped, calls_of
from pawl.models.duplicates import rebound
from pawl.models.member_layers import freeze
from pawl.models.memory import Memory, remembered
from pawl.models.nets import Net
from pawl.models.operations import Address, forget_paths, listen
from pawl.models.surgery import key_dropout
from pawl.models.written import Written, put, written
from pawl.task import ModelFactory

_FEW_ROWS = 4
Calls = Mapping[Address, Call]
"""Layers that a module calls as functions."""
Builder = Callable[[int], nn.Module]
"""`builder(seed)` returns a fresh module that maps `Inputs` to raw outputs `[B, O]`."""

_UNCOPIED = {WeightNorm: "weight_norm", SpectralNorm: "spectral_norm"}
"""Hooks that leave a computed weight in a module, which cannot be copied then, and what sets them."""

NetFactory = Callable[[ModelSpec], nn.Module]
"""Returns a fresh network for inputs and outputs of such sizes."""


class Adapter(nn.Module):
    """Calls the user's module the way it wants to be called.

    Args:
        module: The user's.
        schema: The data's.
        one_vector: Whether all inputs reach it as one float tensor `[B, F]` (numbers, missing
            indicators, one-hot categories); else they reach it as the data gave them.

    Attributes:
        pretrained: Whether its weights are the same for every seed; who builds it says so.
        memory: See `remembered`; who builds it gives the same to all.
        order: Names of its layers in the order in which they run, where who builds it knows it.
    """

    def __init__(self, module: nn.Module, schema: Schema, *, one_vector: bool) -> None:
        super().__init__()
        self.module = module
        self.calls: nn.ModuleDict | None = None
        self.called: Calls = {}
        self.moved = self.standardized = False
        self.pretrained = False
        self.memory = Memory()
        self.order: tuple[str, ...] = ()
        self.one_vector = one_vector
        self.inputs = schema.inputs
        self.style: str = "single" if one_vector else schema.style
        positional, keywords = _forward_arguments(module)
        needed = {item.name for item in schema.inputs if not item.is_mask}
        # A model that asks for no mask gets none.
        self.names = tuple(
            item.name for item in schema.inputs
            if not item.is_mask or self._takes(item.name, len(schema.inputs), positional, keywords)
        )  # fmt: skip
        if self.style == "dict" and not (keywords is None or needed <= keywords):
            self.style = "single_dict"
        if self.style == "tuple" and positional is not None and positional < len(needed):
            self.style = "single_tuple"

    @classmethod
    def of_inputs(cls, module: nn.Module, schema: Schema) -> Adapter:
        """Returns one around a module that takes `Inputs` itself, as pawl's own networks do."""
        made = cls(module, schema, one_vector=False)
        made.style = "single_dict"
        return made

    def reveal(self, sample: Inputs, known: list[Calls]) -> None:
        """Makes modules of the layers that the user's module calls as functions, or has written out.

        They are its `calls`, by address, and what it predicts stays the same: where it would not,
        nothing is changed.

        Args:
            sample: A few rows of what `forward` takes.
            known: What was found of the task's model; looked for, and put there, if it is empty.
        """
        if self.calls is None:
            if not self.standardized:
                self._standardize(sample)
                self.standardized = True
            if self.moved:
                known = []
            if not known:
                known.append(self._found(sample))
            if not known[0]:
                return
            self._take(known[0])
        listen(self)

    def _standardize(self, sample: Inputs) -> None:
        """Puts PyTorch's layers in the place of those that were written out, if it predicts the same."""
        rows = {name: x[:_FEW_ROWS] for name, x in sample.items()}

        def find() -> dict[str, Written]:
            known = written(self, lambda module: module(rows))
            copied = copy.deepcopy(self).eval()
            with torch.no_grad():
                before = copied(rows)
                put(copied, known)
                return known if known and _same(before, copied(rows)) else {}

        put(self, remembered(self, "written", find))

    def __deepcopy__(self, memo: dict[int, Any]) -> Adapter:
        new = memo[id(self)] = type(self).__new__(type(self))
        state = copy.deepcopy(self.__dict__, memo)
        new.__setstate__(state)  # type: ignore[no-untyped-call]
        return rebound(new, memo)

    def forget(self) -> None:
        """Undoes `reveal`, where submodules have moved or there are more of them.

        Their calls have other addresses then, and are looked for anew.
        """
        self.calls, self.called, self.moved = None, {}, True
        forget_paths(self)

    def _take(self, calls: Calls) -> None:
        modules = {address: copy.deepcopy(call.module) for address, call in calls.items()}
        self.calls, self.called = nn.ModuleDict(modules).train(self.training), calls

    def _found(self, sample: Inputs) -> Calls:
        """Returns the calls with whose modules it predicts the same; none where it would not."""
        rows = {name: x[:_FEW_ROWS] for name, x in sample.items()}
        calls = calls_of(self, lambda module: module(rows))
        if not calls:
            return {}
        copied = copy.deepcopy(self).eval()
        with torch.no_grad():
            before = copied(rows)
            copied._take(calls)
            listen(copied)
            return calls if _same(before, copied(rows)) else {}

    def forward(self, inputs: Inputs) -> Tensor:
        """Calls the user's module with `Inputs`."""
        if self.calls is None:
            return self._called(inputs)
        with Swapped(self.calls, self.called):
            return self._called(inputs)

    def _called(self, inputs: Inputs) -> Tensor:
        if self.one_vector:
            return self.module(self._flatten(inputs))  # type: ignore[no-any-return]
        if self.style == "single_dict":
            return self.module(inputs)  # type: ignore[no-any-return]
        chosen = {name: inputs[name] for name in self.names}
        if self.style == "dict":
            return self.module(**chosen)  # type: ignore[no-any-return]
        values = tuple(chosen.values())
        if self.style == "single_tuple":
            return self.module(values)  # type: ignore[no-any-return]
        return self.module(*values)  # type: ignore[no-any-return]

    def _takes(
        self, mask: str, count: int, positional: int | None, keywords: set[str] | None
    ) -> bool:
        if self.style == "dict":
            return keywords is None or mask in keywords
        return positional is None or positional >= count

    def _flatten(self, inputs: Inputs) -> Tensor:
        parts: list[Tensor] = []
        for item in self.inputs:
            tensor = inputs[item.name]
            if item.name == "categorical":
                for column, cardinality in enumerate(item.cardinalities):
                    codes = torch.arange(cardinality, device=tensor.device)
                    parts.append((tensor[..., column, None] == codes).to(torch.float32))
            else:
                parts.append(tensor)
        return torch.cat(parts, dim=-1)


def _same(one: Any, other: Any) -> bool:
    """Tells whether what a module returned twice is the same, to rounding."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other)  # what is no tensor does not predict: a cache, a number


def revealed(module: nn.Module, sample: Inputs, known: list[Calls]) -> nn.Module:
    """Returns a built module whose activations are modules, also those that it calls as functions.

    To be called again where techniques have put new modules in; see `Adapter.reveal`.
    """
    for each in module.modules():
        if isinstance(each, Adapter):
            each.reveal(sample, known)
    return module


def is_pretrained(module: nn.Module) -> bool:
    """Tells whether a built module came with weights that are the same for every seed."""
    return any(isinstance(each, Adapter) and each.pretrained for each in module.modules())


def concealed(module: nn.Module) -> nn.Module:
    """Undoes `revealed`, in place: the module calls its functions itself again."""
    for each in module.modules():
        if isinstance(each, Adapter):
            each.forget()
    return module


def _forward_arguments(module: nn.Module) -> tuple[int | None, set[str] | None]:
    """Returns how many positional arguments, and which keywords, forward takes; None is any."""
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = {p.kind for p in parameters}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
    positional = None if inspect.Parameter.VAR_POSITIONAL in kinds else len(named)
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return positional, None
    return positional, {
        p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }


@dataclass(frozen=True)
class ModelBuilder:
    """Builds a task's module, before any technique changes it; see `Builder`.

    Attributes:
        schema: The data's.
        factory: The user's, or `None`.
        net: Builds the network where the user gave none; unless it is a `Net`, it is called as a
            user's is.
        one_vector: See `Adapter`.
    """

    schema: Schema
    factory: ModelFactory | None
    net: NetFactory
    one_vector: bool

    def __call__(self, seed: int) -> nn.Module:
        """Returns a fresh module, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._built()

    def _built(self) -> nn.Module:
        schema = self.schema
        spec = ModelSpec(inputs=schema.inputs, num_outputs=schema.num_outputs, kind=schema.kind)
        module = self.net(spec) if self.factory is None else _call_factory(self.factory, spec)
        if self.factory is None and isinstance(module, Net):
            return module
        return Adapter(freeze(key_dropout(module)), schema, one_vector=self.one_vector)


def _call_factory(factory: ModelFactory, spec: ModelSpec) -> nn.Module:
    name = getattr(factory, "__name__", repr(factory))
    try:
        required = [
            p
            for p in inspect.signature(factory).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except ValueError:  # some builtins have no signature
        required = []
    if len(required) > 1:
        names = ", ".join(p.name for p in required)
        raise TaskError(
            f"the model factory {name} needs {names}; it is called as model() or model(spec): give "
            f"functools.partial({name}, ...), or a function that fills them in"
        )
    try:
        module = factory(spec) if required else factory()
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"the model factory {name} raised {type(error).__name__}: {first_line(error)}; it is "
            "called as model() or model(spec) and must return a torch.nn.Module"
        ) from error
    if not isinstance(module, nn.Module):
        raise TaskError(
            f"the model factory {name} returned {type(module).__name__}; it must return a "
            "torch.nn.Module"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise TaskError(
            f"the model factory {name} returned a TorchScript module, which cannot be changed; give "
            "the module that it was made of"
        )
    for place, each in module.named_modules():
        for hook in each._forward_pre_hooks.values():
            if type(hook) in _UNCOPIED:
                old = _UNCOPIED[type(hook)]
                raise TaskError(
                    f"the model's {place or type(each).__name__!r} has torch.nn.utils.{old} in its "
                    "old form, which cannot be copied; use "
                    f"torch.nn.utils.parametrizations.{old}"
                )
    return module
