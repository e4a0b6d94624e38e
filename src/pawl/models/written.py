"""Layers that people write out themselves, known by what they compute: PyTorch's take their place.

A class of the user's without submodules that maps a tensor to one is tried on random numbers, its
weights stirred: if a normalization of PyTorch's, scaled and shifted by what it has, returns the same, or
an activation or a linear layer does, that is what it is. It doesn't matter how it is written or called.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pawl.models.exchanged import AlongChannels, DeviationNorm, RootNorm
from pawl.models.layers import OwnActivation
from pawl.models.operations import is_layer, traced
from pawl.models.written_linear import Matrix, linear_weights

_EPSILONS = (1e-5, 1e-6, 1e-3, 1e-4, 1e-8, 1e-12)
_LARGEST_EPSILON = 0.1
_TOLERANCE, _EXACT = 1e-5, 1e-6
_SCALES = (1.0, 0.02)  # inputs of the second tell epsilons apart
_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU, nn.GELU, partial(nn.GELU, approximate="tanh"), nn.SiLU, nn.Mish, nn.ReLU6, nn.LeakyReLU,
    nn.ELU, nn.SELU, nn.Hardswish, nn.Softplus, nn.Tanh, nn.Sigmoid,
)  # fmt: skip
_GROUPS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Taken:
    """A scale or a shift that is `factor * weight + constant`.

    Attributes:
        weight: Name of the module's own.
        factor: `1` if it is just that.
        constant: `0` if it is just that.
    """

    weight: str
    factor: float
    constant: float

    def of(self, own: nn.Module, count: int) -> nn.Parameter:
        """Returns it, `[C]`: the module's own weight where that is the same."""
        weight = own.get_parameter(self.weight)
        if (self.factor, self.constant) == (1.0, 0.0) and weight.shape == (count,):
            return weight
        return nn.Parameter(self.factor * weight.detach().reshape(count) + self.constant)


@dataclass(frozen=True)
class Written:
    """What a submodule computes.

    Attributes:
        make: Returns a layer that does, but for scale and shift; `None`: an activation of its own.
        scale: Of a normalization; of a linear layer the matrix.
        shift: Alike.
    """

    make: Callable[[], nn.Module] | None
    scale: Taken | Matrix | None = None
    shift: Taken | None = None

    def layer(self, own: nn.Module) -> nn.Module:
        """Returns the layer that takes the place of a submodule."""
        if self.make is None:
            return OwnActivation(own)
        made = self.make()
        inner: Any = made.inner if isinstance(made, AlongChannels) else made
        for name, taken in (("weight", self.scale), ("bias", self.shift)):
            if (old := getattr(inner, name, None)) is not None:
                value = None if taken is None else taken.of(own, old.numel())
                inner.register_parameter(name, value)
        return made.train(own.training)


def written(module: nn.Module, run: Callable[[nn.Module], Any]) -> dict[str, Written]:
    """Returns what submodules of the user's compute that layers of PyTorch's do, by name.

    It does not depend on weights.

    Args:
        module: Left as it is.
        run: Runs a module on a few rows.
    """
    trace, _ = traced(module, run)
    shared = _shared(module)
    found: dict[str, Written] = {}
    for span in trace.spans:
        own = module.get_submodule(span.name) if span.name else module
        alone = len(span.inputs) == len(span.outputs) == 1 and next(own.children(), None) is None
        if span.name in found or is_layer(own) or not alone or _ours(own):
            continue
        shape = trace.shapes[span.inputs[0]]
        weights = list(own.parameters())
        if next(own.buffers(), None) is not None:
            continue
        if len(shape) > 1 and not shared & {id(each) for each in weights}:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                known = _recognized(own, shape)
            if known is not None:
                found[span.name] = known
    return found


def _ours(own: nn.Module) -> bool:
    return type(own).__module__.split(".")[0] in ("pawl", "torch")


def _shared(module: nn.Module) -> set[int]:
    """Returns the weights that several submodules have."""
    seen: set[int] = set()
    several: set[int] = set()
    for _, weight in module.named_parameters(remove_duplicate=False):
        (several if id(weight) in seen else seen).add(id(weight))
    return several


def _recognized(own: nn.Module, shape: tuple[int, ...]) -> Written | None:
    try:
        probe = copy.deepcopy(own).double()
        for weight in probe.parameters():
            weight.uniform_(0.5, 1.5)
        inputs = [scale * torch.randn(shape, dtype=torch.float64) for scale in _SCALES]
        kept = [x.clone() for x in inputs]
        outputs = [probe.eval()(x) for x in inputs]
        if not all(map(torch.equal, inputs, kept)):
            return None  # it changes what it gets
        if not torch.equal(probe.train()(inputs[0].clone()), outputs[0]):
            return None
        if (linear := linear_weights(probe, inputs, outputs)) is not None:
            return _linear(linear, inputs[0], outputs[0])
        if any(x.shape != y.shape for x, y in zip(inputs, outputs, strict=True)):
            return None
        if next(own.parameters(), None) is None:
            known = _activation(probe, inputs[0], outputs[0])
            if known is not None:
                return known
        if not torch.allclose(probe.eval()(2 * inputs[0]), outputs[0], rtol=0.01, atol=0.01):
            return None  # what normalizes takes scales away
        return _normalization(probe, inputs, outputs)
    except Exception:  # whatever a user's module raises
        return None


def _linear(found: tuple[Matrix, str | None], x: Tensor, y: Tensor) -> Written:
    matrix, bias = found
    # What it is made with is thrown away: on "meta" nothing is drawn.
    make = partial(nn.Linear, x.shape[-1], y.shape[-1], bias is not None, device="meta")
    return Written(make, matrix, None if bias is None else Taken(bias, 1.0, 0.0))


def _activation(probe: nn.Module, x: Tensor, y: Tensor) -> Written | None:
    """Recognizes what treats each number alike, and bends."""
    for make in _ACTIVATIONS:
        if torch.allclose(make()(x), y, rtol=_EXACT, atol=_EXACT):
            return Written(make)
    order = torch.randperm(x.numel())
    moved = probe(x.flatten()[order].reshape(x.shape))
    bends = not torch.allclose(probe(2 * x), 2 * y) or not torch.allclose(probe(-x), -y)
    return Written(None) if bends and torch.allclose(moved.flatten(), y.flatten()[order]) else None


def _normalization(probe: nn.Module, inputs: list[Tensor], outputs: list[Tensor]) -> Written | None:
    best: tuple[float, Written] | None = None
    for make, axis in _normalizations(tuple(inputs[0].shape), _epsilons(probe)):
        plain = make(affine=False).double()
        pairs = [
            (plain(x).movedim(axis, -1).flatten(0, -2), y.movedim(axis, -1).flatten(0, -2))
            for x, y in zip(inputs, outputs, strict=True)
        ]
        normal, given = (torch.cat(each) for each in zip(*pairs, strict=True))
        scale, shift = _line(normal, given)
        error = float((scale * normal + shift - given).abs().max() / given.abs().max())
        if error > _TOLERANCE or (best is not None and best[0] <= error):
            continue
        known = _affine(probe, make, scale, shift)
        inner: Any = plain.inner if isinstance(plain, AlongChannels) else plain
        if known is not None and (known.shift is None or hasattr(inner, "bias")):
            best = error, known
    return None if best is None else best[1]


def _affine(
    probe: nn.Module, make: Callable[..., nn.Module], scale: Tensor, shift: Tensor
) -> Written | None:
    """Says which weights scale and shift are; `None` if they are none."""
    none = bool((shift.abs() < _TOLERANCE).all())
    if next(probe.parameters(), None) is None:
        plain = none and bool(((scale - 1).abs() < _TOLERANCE).all())
        return Written(partial(make, affine=False)) if plain else None
    taken = _taken(probe, scale)
    shifted = None if none else _taken(probe, shift)
    if taken is None or (shifted is None and not none):
        return None
    used = {each.weight for each in (taken, shifted) if each is not None}
    if used != {name for name, _ in probe.named_parameters()}:
        return None
    return Written(partial(make, affine=True), taken, shifted)


def _taken(probe: nn.Module, values: Tensor) -> Taken | None:
    for name, weight in probe.named_parameters():
        if weight.numel() != values.numel() or weight.numel() == 1:
            continue
        own = weight.detach().reshape(-1)
        factor, constant = (float(each) for each in _line(own[:, None], values[:, None]))
        if torch.allclose(factor * own + constant, values, rtol=_TOLERANCE, atol=_TOLERANCE):
            exact = abs(factor - 1) < _TOLERANCE and abs(constant) < _TOLERANCE
            whole = round(constant) if abs(constant - round(constant)) < _TOLERANCE else constant
            return Taken(name, 1.0, 0.0) if exact else Taken(name, factor, float(whole))
    return None


def _line(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns slopes and constants of each column's best line."""
    centered = x - x.mean(0)
    slope = (centered * (y - y.mean(0))).sum(0) / centered.square().sum(0).clamp_min(1e-12)
    return slope, y.mean(0) - slope * x.mean(0)


def _epsilons(probe: nn.Module) -> dict[float, None]:
    """Returns what may keep a normalization from dividing by 0: what the module has, and usual ones."""
    own = [value for value in vars(probe).values() if isinstance(value, float)]
    return dict.fromkeys([*(each for each in own if 0 < each < _LARGEST_EPSILON), *_EPSILONS])


def _normalizations(
    shape: tuple[int, ...], epsilons: Iterable[float]
) -> Iterator[tuple[Callable[..., nn.Module], int]]:
    """Yields what makes a normalization for inputs of a shape, and its axis of channels."""
    for epsilon in epsilons:
        for kind in _OVER_ONE_AXIS:
            yield partial(kind, shape[-1], epsilon), -1
            if len(shape) > 2:
                yield partial(_along, kind, shape[1], epsilon), 1
        if len(shape) > 2:
            for groups in _GROUPS:
                if shape[1] % groups == 0 and groups < shape[1]:
                    yield partial(_group_norm, groups, shape[1], epsilon), 1


def _layer_norm(count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return nn.LayerNorm(count, epsilon, affine)


def _rms_norm(count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return nn.RMSNorm(count, epsilon, affine)


def _sample_norm(count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return DeviationNorm(count, epsilon, corrected=True, affine=affine)


def _deviation_norm(count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return DeviationNorm(count, epsilon, corrected=False, affine=affine)


def _root_norm(count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return RootNorm(count, epsilon, affine=affine)


_OVER_ONE_AXIS = (_layer_norm, _rms_norm, _sample_norm, _deviation_norm, _root_norm)


def _along(kind: Any, count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return AlongChannels(kind(count, epsilon, affine=affine))


def _group_norm(groups: int, count: int, epsilon: float, *, affine: bool) -> nn.Module:
    return nn.GroupNorm(groups, count, epsilon, affine)


def put(module: nn.Module, known: Mapping[str, Written]) -> None:
    """Puts layers in the place of submodules, in place; one that stands in several is one again."""
    made: dict[int, nn.Module] = {}
    for name, each in list(module.named_modules(remove_duplicate=False)):
        first = next((n for n, m in module.named_modules() if m is each), name)
        if first in known:
            home, _, own = name.rpartition(".")
            made.setdefault(id(each), known[first].layer(each))
            setattr(module.get_submodule(home), own, made[id(each)])
