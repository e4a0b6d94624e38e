"""Other numbers of channels inside any module: wider or narrower, by name of the layer that makes them.

Which channels can be changed is read from what the module does (`pawl.models.channels`) and proved: with
each of them doubled so that the function stays, the module must return what it returned.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from pawl.data.types import Inputs
from pawl.models.channel_groups import Segments
from pawl.models.channels import Channels, Weighted
from pawl.models.computed import put
from pawl.models.memory import remembered
from pawl.models.operations import traced

_FEW_ROWS = 4
_NOISE = 0.5
"""Of the deviation of weights: how far apart those of copied channels start."""
_STIRRED = 0.02
_LENGTHS = ("num_features", "num_channels", "num_parameters")


@dataclass(frozen=True, eq=False)
class Widths:
    """What can be made wider or narrower of a module.

    Attributes:
        channels: How its channels go together.
        sizes: Channels of each group that can be changed.
        reasons: For layers whose channels have to stay, why.
    """

    channels: Channels
    sizes: dict[int, int]
    reasons: dict[str, str]


def widths(module: nn.Module, sample: Inputs) -> Widths:
    """Finds what can be made wider or narrower, and proves it on a copy.

    Args:
        module: Left as it is.
        sample: A few rows of what it takes.
    """
    return remembered(module, "widths", lambda: _widths(module, sample))


def _widths(module: nn.Module, sample: Inputs) -> Widths:
    rows = {name: x[:_FEW_ROWS] for name, x in sample.items()}
    trace, copied = traced(module, lambda m: m(rows))
    channels = Channels(trace, copied)
    groups = channels.free()
    reasons = channels.reasons()
    if groups and not _proved(module, channels, list(groups), rows):
        for group in list(groups):
            if not _proved(module, channels, [group], rows):
                for name in groups.pop(group):
                    reasons[name] = (
                        "with more of them the model does not run, or predicts otherwise"
                    )
        if groups and not _proved(module, channels, list(groups), rows):
            for name in {name for names in groups.values() for name in names}:
                reasons[name] = "they cannot be changed together with those of others"
            groups = {}
    return Widths(channels, {group: channels.groups.size(group) for group in groups}, reasons)


def resize(
    module: nn.Module, found: Widths, new_size: Callable[[int], int], *, preserve: bool
) -> None:
    """Gives all layers that can have them other numbers of channels, in place.

    Wider layers that keep the function have copies of channels, whose outgoing weights sum up to
    what they were and differ by noise, so that copies do not stay alike: `w / n + z_i` with the `z_i`
    of the `n` copies adding to 0. Narrower ones keep the channels with the largest weights. Otherwise
    weights are drawn: normal, with mean and deviation of those that were there, for the new fan-in.

    Args:
        module: Such as `found` is of.
        found: What can be changed.
        new_size: Channels by channels before.
        preserve: Whether to keep the function (wider) or what was learned (narrower).
    """
    channels = found.channels
    sizes = {}
    for group, size in found.sizes.items():
        multiple, wanted = channels.groups.multiple(group), new_size(size)
        if preserve and wanted > size and channels.groups.compared(group):
            multiple = size
        sizes[group] = max(multiple, multiple * round(wanted / multiple))
    _resize(module, channels, sizes, preserve=preserve)


def _proved(module: nn.Module, channels: Channels, groups: list[int], rows: Inputs) -> bool:
    """Tells whether a module with some more channels, of these groups, predicts what it did.

    One more, or twice as many where a normalization compares them. Weights are stirred: behind a layer
    of zeros nothing would show.
    """
    sizes = {
        group: channels.groups.size(group)
        + (channels.groups.size(group) if channels.groups.compared(group) else 1)
        for group in groups
    }
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in rows.items()}
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            before = copy.deepcopy(module).eval().to(dtype)
            for weight in before.parameters():
                weight.add_(_STIRRED * torch.randn_like(weight))
            after = copy.deepcopy(before)
            try:
                _resize(after, channels, sizes, preserve=True)
                alike = _alike(before(inputs), after(inputs), tolerance)
                if alike and _shapes(after.train()(inputs)) == _shapes(before.train()(inputs)):
                    return True
            except Exception:  # whatever a user's module raises
                continue
    return False


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    pairs = list(zip(_leaves(one), _leaves(other), strict=True))
    return all(
        x.shape == y.shape
        and torch.allclose(x, y, rtol=tolerance, atol=tolerance * float(x.abs().max()))
        for x, y in pairs
    )


def _shapes(values: Any) -> list[tuple[int, ...]]:
    return [tuple(x.shape) for x in _leaves(values)]


def _leaves(values: Any) -> list[Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(values) if isinstance(x, Tensor)]


def _resize(
    module: nn.Module, channels: Channels, sizes: Mapping[int, int], *, preserve: bool
) -> None:
    plan = _Plan(module, channels, dict(sizes))
    for name, layer in channels.layers.items():
        if plan.changes(layer):
            _rebuild(module.get_submodule(name), layer, plan, preserve=preserve)
    for name, layout in channels.weights.items():
        home, _, own = name.rpartition(".")
        for axis, segments in layout.items():
            chosen = plan.chosen(segments)
            if chosen is not None:
                weight = module.get_parameter(name).detach()
                put(module.get_submodule(home), own, weight.index_select(axis, chosen))


class _Plan:
    """Which of the channels that were stand for those that will be."""

    def __init__(self, module: nn.Module, channels: Channels, sizes: dict[int, int]) -> None:
        self._channels, self._sizes = channels, sizes
        self._chosen = {group: self._choose(module, group) for group in sizes}

    def changes(self, layer: Weighted) -> bool:
        """Tells whether any of a layer's channels are others."""
        segments = (*(layer.reads or ()), *(layer.writes or ()))
        return any(self._channels.groups.root(group) in self._sizes for group, _ in segments)

    def chosen(self, segments: Segments | None) -> Tensor | None:
        """Returns for each place along an axis the place there that was; `None` if nothing changes."""
        if segments is None:
            return None
        pieces, base, changed = [], 0, False
        for group, repeat in segments:
            root, size = self._channels.groups.root(group), self._channels.groups.size(group)
            each = self._chosen.get(root, torch.arange(size))
            changed |= root in self._sizes
            pieces.append((base + each.unsqueeze(1) * repeat + torch.arange(repeat)).flatten())
            base += size * repeat
        return torch.cat(pieces) if changed else None

    def _choose(self, module: nn.Module, group: int) -> Tensor:
        """Returns copies beside each other, or the channels with the largest weights, in order."""
        size, new = self._channels.groups.size(group), self._sizes[group]
        if new >= size:
            return torch.arange(new) * size // new
        score = torch.zeros(size)
        for name, layer in self._channels.layers.items():
            written = () if layer.same else layer.writes or ()
            if written and self._channels.groups.root(written[0][0]) == group:
                score += _sizes(module.get_submodule(name)).cpu().float()
        return score.topk(new).indices.sort().values


def _sizes(layer: Any) -> Tensor:
    """Returns how large the weights of each of a layer's channels are."""
    if isinstance(layer, nn.RNNBase):
        size = layer.hidden_size
        gates = layer.get_parameter("weight_hh_l0").detach().view(-1, size, size)
        return gates.square().sum((0, 2)).sqrt()
    weight: Tensor = layer.weight.detach()
    return _to_front(weight, layer).flatten(1).square().sum(1).sqrt()


def _recur(layer: nn.RNNBase, out: Tensor | None, into: Tensor | None, *, preserve: bool) -> None:
    """Gives a recurrent layer other units, in all of its layers, directions and gates, or inputs."""
    size = layer.hidden_size
    units = torch.arange(size) if out is None else out
    ways = 2 if layer.bidirectional else 1
    for name, weight in [(n, x.detach()) for n, x in layer.named_parameters(recurse=False)]:
        gates = len(weight) // size
        rows = torch.cat([units + gate * size for gate in range(gates)])
        if "_ih_" not in name:
            columns: Tensor | None = units
        elif "_l0" in name:
            columns = into
        else:
            columns = torch.cat([units + way * size for way in range(ways)])
        if weight.dim() == 1 or columns is None:
            columns = None
        if preserve:
            kept = weight[rows]
            put(layer, name, kept if columns is None else _taken(kept, columns))
            continue
        shape = [len(rows), *weight.shape[1:]]
        if columns is not None:
            shape[1] = len(columns)
        wider = len(units) / size if weight.dim() == 1 else math.prod(shape[1:]) / weight.shape[1]
        put(layer, name, _drawn(weight, shape, wider**-0.5))


def _to_front(weight: Tensor, layer: nn.Module) -> Tensor:
    """Returns a weight with the axis of outputs first and that of inputs second."""
    return weight.transpose(0, 1) if isinstance(layer, _ConvTransposeNd) else weight


def _rebuild(layer: Any, channels: Weighted, plan: _Plan, *, preserve: bool) -> None:
    out, into = plan.chosen(channels.writes), plan.chosen(channels.reads)
    if isinstance(layer, nn.RNNBase):
        _recur(layer, out, into, preserve=preserve)
    elif isinstance(layer, nn.Linear | _ConvNd) and not channels.same:
        if preserve:
            _copy(layer, out, into)
        else:
            _draw_anew(layer, out, into)
    elif out is not None:
        _take(layer, out)
        if isinstance(layer, _ConvNd) and not preserve:
            put(layer, "weight", _drawn(layer.weight.detach(), layer.weight.shape, 1.0))
    _tell(layer, channels, out, into)


def _tell(layer: Any, channels: Weighted, out: Tensor | None, into: Tensor | None) -> None:
    """Changes what a layer says of its sizes."""
    linear = isinstance(layer, nn.Linear)
    if isinstance(layer, nn.Linear | _ConvNd):
        if out is not None:
            setattr(layer, "out_features" if linear else "out_channels", len(out))
        if into is not None:
            setattr(layer, "in_features" if linear else "in_channels", len(into))
        if channels.same and out is not None:
            layer.groups = len(out)
    elif isinstance(layer, nn.RNNBase):
        layer.hidden_size = layer.hidden_size if out is None else len(out)
        layer.input_size = layer.input_size if into is None else len(into)
    elif out is not None:
        for length in _LENGTHS:
            if length in layer.__dict__:
                setattr(layer, length, len(out))
        if "normalized_shape" in layer.__dict__:
            layer.normalized_shape = (len(out),)


def _take(layer: nn.Module, chosen: Tensor) -> None:
    """Takes entries of all weights and buffers along channels."""
    for name, weight in list(layer.named_parameters(recurse=False)):
        put(layer, name, weight.detach()[chosen])
    for name, buffer in list(layer.named_buffers(recurse=False)):
        if buffer.dim():
            layer._buffers[name] = buffer[chosen]


def _taken(weight: Tensor, chosen: Tensor) -> Tensor:
    """Returns weights of copied inputs, `[O, I', ...]` of `[O, I, ...]`, that sum up to those before."""
    counts = torch.bincount(chosen, minlength=weight.shape[1]).to(weight)
    lead = (1, -1) + (1,) * (weight.dim() - 2)
    taken = weight[:, chosen] / counts[chosen].view(lead)
    copies = (counts[chosen] > 1).nonzero().flatten()
    if len(copies):
        old, which = torch.unique(chosen[copies], return_inverse=True)
        noise = _NOISE * _deviation(weight) * torch.randn_like(taken[:, copies])
        sums = torch.zeros_like(weight[:, old]).index_add_(1, which, noise)
        taken[:, copies] += noise - (sums / counts[old].view(lead))[:, which]
    return taken


def _copy(layer: Any, out: Tensor | None, into: Tensor | None) -> None:
    """Gives a layer copies of its weights, those of inputs shared among copies."""
    weight = _to_front(layer.weight.detach(), layer)
    if out is not None:
        weight = weight[out]
        if layer.bias is not None:
            put(layer, "bias", layer.bias.detach()[out])
    if into is not None:
        weight = _taken(weight, into)
    put(layer, "weight", _to_front(weight, layer).contiguous())


def _draw_anew(layer: Any, out: Tensor | None, into: Tensor | None) -> None:
    """Gives a layer weights like those it has, of another number."""
    weight = _to_front(layer.weight.detach(), layer)
    shape = list(weight.shape)
    shape[0] = shape[0] if out is None else len(out)
    shape[1] = shape[1] if into is None else len(into)
    scale = math.sqrt(math.prod(weight.shape[1:]) / math.prod(shape[1:]))
    put(layer, "weight", _to_front(_drawn(weight, shape, scale), layer).contiguous())
    if layer.bias is not None:
        put(layer, "bias", _drawn(layer.bias.detach(), shape[:1], scale))


def _drawn(values: Tensor, shape: Sequence[int], scale: float) -> Tensor:
    noise = torch.randn(*shape, dtype=values.dtype, device=values.device)
    return values.mean() + scale * _deviation(values) * noise


def _deviation(values: Tensor) -> Tensor:
    return torch.std(values, correction=0)
