"""Which channels of a module belong together, from what it does in one forward.

Each axis of a tensor that a layer made, or that lies along it, has a layout: segments, each of them a
group of channels of which each stands for so many neighbors (`flatten` makes `H * W` of each). What adds
two tensors makes one group of theirs. A group is fixed where something is done along its axis that is
not known to treat channels alike, with the operation's address as the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from pawl.models.axes import moved
from pawl.models.channel_groups import Groups, Segments
from pawl.models.computed import resizable
from pawl.models.member_layers import KeyedDropout
from pawl.models.operations import Operation, Trace
from pawl.models.surgery import ACTIVATION_TYPES

Layout = dict[int, Segments]
"""By axis, of those that are followed."""

_OVER_CHANNELS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.InstanceNorm1d,
    nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_OVER_LAST = (nn.LayerNorm, nn.RMSNorm)
_ELEMENTWISE_LAYERS = (*ACTIVATION_TYPES, KeyedDropout, nn.Dropout, nn.Identity, nn.LogSigmoid)
_POOLING_LAYERS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d,
    nn.ReplicationPad2d,
)  # fmt: skip
_ELEMENTWISE = frozenset({
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "selu", "silu", "mish", "hardswish",
    "hardtanh", "hardsigmoid", "gelu", "softplus", "sigmoid", "sigmoid_", "tanh", "tanh_", "dropout",
    "dropout2d", "clone", "contiguous", "to", "float", "double", "exp", "abs", "neg", "__neg__",
    "clamp", "clamp_", "clamp_min", "sqrt", "square", "pow", "__pow__", "detach", "type",
})  # fmt: skip
_ARITHMETIC = frozenset({
    "add", "sub", "mul", "div", "true_divide", "add_", "sub_", "mul_", "div_", "__add__", "__radd__",
    "__rsub__", "__sub__", "__mul__", "__rmul__", "__truediv__", "maximum", "minimum",
})  # fmt: skip
_POOLING = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate",
})  # fmt: skip


RETURNED = "it is what the model returns"
"""Why a model's last layer has the channels that it has."""


@dataclass(frozen=True)
class Weighted:
    """A layer with weights along channels: what its input and its output consist of.

    Attributes:
        reads: The input's channels; `None` if they are not followed.
        writes: The output's.
        same: Whether each output is made of the input in its place alone.
    """

    reads: Segments | None = None
    writes: Segments | None = None
    same: bool = False


class Channels:
    """Follows channels through a trace.

    Args:
        trace: What happened.
        module: The copy that ran.

    Attributes:
        groups: Which channels go together.
        layers: By name.
        weights: Those that no layer has, by name: what lies along their axes (`gamma * x`).
    """

    def __init__(self, trace: Trace, module: nn.Module) -> None:
        self.groups = Groups()
        self.layers: dict[str, Weighted] = {}
        self.weights: dict[str, Layout] = {}
        self._shapes = trace.shapes
        self._layouts: dict[int, Layout] = {}
        self._owners = _owners(module)
        seen = {id(tensor) for tensor in trace.tensors}
        self._outside = {id(weight) for weight in module.parameters() if id(weight) in seen}
        named = {id(weight): name for name, weight in module.named_parameters()}
        self._loose = {
            number: named[id(tensor)]
            for number, tensor in enumerate(trace.tensors)
            if id(tensor) in named and self._owners[id(tensor)] == 1
        }
        for op in trace.operations:
            if isinstance(op.layer, nn.RNNBase):
                self._recurrent(op, op.layer, f"{_told(op.address)!r} ({op.name})")
                continue
            layouts = self._layer(op) if op.layer is not None else self._function(op)
            for number in op.outputs:
                self._layouts[number] = layouts if len(op.outputs) == 1 else {}
        for number in trace.results:
            self._fix(self._layout(number), RETURNED)

    def free(self) -> dict[int, list[str]]:
        """Returns the groups that may have other sizes, each with the layers that make it."""
        found: dict[int, list[str]] = {}
        fixed = self.groups.fixed()
        for name, layer in self.layers.items():
            for each, _ in () if layer.same else layer.writes or ():
                root = self.groups.root(each)
                if root not in fixed:
                    found.setdefault(root, []).append(name)
        return found

    def reasons(self) -> dict[str, str]:
        """Returns for each layer whose outputs have to stay why."""
        fixed = self.groups.fixed()
        found = {}
        for name, layer in self.layers.items():
            if layer.writes and not layer.same:
                root = self.groups.root(layer.writes[0][0])
                if root in fixed:
                    found[name] = fixed[root]
        return found

    def _fix(self, layout: Layout, reason: str) -> None:
        for segments in layout.values():
            self.groups.fix(segments, reason)

    def _layout(self, number: int) -> Layout:
        return self._layouts.get(number, {})

    def _reach(self, op: Operation, where: str) -> Layout:
        """Fixes all that reaches an operation that is not known."""
        for number in op.inputs:
            self._fix(self._layout(number), f"its channels reach {where}")
        return {}

    # Layers

    def _layer(self, op: Operation) -> Layout:
        layer, where = op.layer, f"{_told(op.address)!r} ({op.name})"
        if not op.inputs:
            return {}
        own, last = self._layout(op.inputs[0]), len(self._shapes[op.inputs[0]]) - 1
        if isinstance(layer, nn.Linear | _ConvNd):
            return self._weighted(op, layer, where)
        if isinstance(layer, _OVER_CHANNELS):
            return self._normalized(op, own, 1, where)
        if isinstance(layer, _OVER_LAST) and len(layer.normalized_shape) == 1:
            return self._normalized(op, own, last, where)
        if isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
            return self._normalized(op, own, 1, where)
        if isinstance(layer, _ELEMENTWISE_LAYERS):
            return own
        if isinstance(layer, _POOLING_LAYERS):
            return self._only(own, 1, where)
        return self._moved(op, where)

    def _weighted(self, op: Operation, layer: Any, where: str) -> Layout:
        name, shape = op.address.partition("#")[0], self._shapes[op.inputs[0]]
        own = dict(self._layout(op.inputs[0]))
        axis = len(shape) - 1 if isinstance(layer, nn.Linear) else 1
        reads = own.pop(axis, None)
        reaches = f"its channels reach {where}"
        if isinstance(layer, _ConvNd):
            self._fix(own, reaches)
            own = {}
        groups = getattr(layer, "groups", 1)
        if groups > 1 and groups == layer.in_channels == layer.out_channels:
            self._unshared(layer, reads, where)
            self._again(name, reads, where)
            if not reads or any(repeat > 1 for _, repeat in reads):
                self.groups.fix(reads, reaches)
                return {}
            self.layers.setdefault(name, Weighted(reads, reads, same=True))
            return {1: reads}
        before = self._again(name, reads, where)
        if before is not None and before.writes is not None:
            return {**own, axis: before.writes}
        out = 1 if isinstance(layer, _ConvTransposeNd) else 0
        made: Segments = ((self.groups.new(int(layer.weight.shape[out])), 1),)
        if groups > 1:
            self.groups.fix((*(reads or ()), *made), f"{where} has several groups")
            return {axis: made}
        self._unshared(layer, (*(reads or ()), *made), where)
        self.layers.setdefault(name, Weighted(reads, made))
        return {**own, axis: made}

    def _recurrent(self, op: Operation, layer: nn.RNNBase, where: str) -> None:
        """Follows a recurrent layer: all of its layers and directions have as many units."""
        name, (output, *states) = op.address.partition("#")[0], op.outputs
        own = dict(self._layout(op.inputs[0]))
        reads = own.pop(len(self._shapes[op.inputs[0]]) - 1, None)
        self._fix(own, f"its channels reach {where}")
        before = self._again(name, reads, where)
        made: Segments = ((self.groups.new(layer.hidden_size), 1),)
        if before is not None and before.writes is not None:
            made = before.writes
        self._unshared(layer, (*(reads or ()), *made), where)
        if len(op.inputs) > 1 or layer.proj_size:
            self.groups.fix((*(reads or ()), *made), f"{where} is given its state, or projects it")
        self.layers.setdefault(name, Weighted(reads, made))
        both = made * (2 if layer.bidirectional else 1)
        self._layouts[output] = {len(self._shapes[output]) - 1: both}
        for number in states:
            self._layouts[number] = {len(self._shapes[number]) - 1: made}

    def _again(self, name: str, reads: Segments | None, where: str) -> Weighted | None:
        """Joins what a layer takes with what it took before; `None` if it is called the first time."""
        before = self.layers.get(name)
        if before is None:
            return None
        if reads and before.reads:
            self.groups.join(before.reads, reads, f"{where} takes unlike inputs")
        else:
            for each in (reads, before.reads):
                self.groups.fix(each, f"{where} takes what is fixed in another call")
        return before

    def _unshared(self, layer: nn.Module, segments: Segments | None, where: str) -> None:
        """Fixes what a layer has to do with whose weights others have too, or that has no weights."""
        weights = list(layer.parameters(recurse=False))
        if not resizable(layer):
            self.groups.fix(segments, f"the weights of {where} are computed")
        if "weight" in layer._buffers or "bias" in layer._buffers:
            self.groups.fix(segments, f"{where} has weights that are not trained")
        if any(self._owners[id(each)] > 1 for each in weights):
            self.groups.fix(segments, f"{where} shares its weights")
        if any(id(each) in self._outside for each in weights):
            self.groups.fix(segments, f"the weights of {where} are used in another place, too")

    def _normalized(self, op: Operation, own: Layout, axis: int, where: str) -> Layout:
        name, segments, layer = op.address.partition("#")[0], own.get(axis), op.layer
        assert layer is not None
        self._unshared(layer, segments, where)
        self._again(name, segments, where)
        if segments is not None and isinstance(layer, nn.GroupNorm):
            if len(segments) > 1 or segments[0][1] > 1:
                self.groups.fix(segments, f"{where} compares channels of several layers")
            self.groups.divide(segments[0][0], layer.num_groups)
        if isinstance(layer, nn.GroupNorm | nn.LayerNorm | nn.RMSNorm):
            self.groups.compare(segments or ())
        self.layers.setdefault(name, Weighted(segments, segments, same=True))
        return own

    def _only(self, layout: Layout, axis: int, where: str) -> Layout:
        """Returns a layout's one axis; the others are fixed."""
        others = {place: segments for place, segments in layout.items() if place != axis}
        self._fix(others, f"its channels reach {where}")
        return {axis: layout[axis]} if axis in layout else {}

    # Functions

    def _function(self, op: Operation) -> Layout:
        if not any(self._layout(number) for number in op.inputs):
            return {}
        where, x = f"{_told(op.address)!r}", op.inputs[0]
        if op.name in _ARITHMETIC and len(op.inputs) <= 2:
            return self._combined(op, where)
        if op.name in ("cat", "concat"):
            return self._concatenated(op, where)
        same = len(op.outputs) == 1 and self._shapes[op.outputs[0]] == self._shapes[x]
        if op.name == "copy_" and same and self._shapes[op.inputs[-1]] == self._shapes[x]:
            return self._layout(op.inputs[-1])
        if len(op.inputs) > 1:
            return self._reach(op, where)
        if op.name in _ELEMENTWISE and same:
            return self._layout(x)
        if op.name in _POOLING:
            return self._only(self._layout(x), 1, where)
        if op.name == "pad" and len(op.args) > 1:
            return self._padded(op, where)
        return self._moved(op, where)

    def _moved(self, op: Operation, where: str) -> Layout:
        places = None
        if len(op.inputs) == len(op.outputs) == 1:
            before, after = (self._shapes[each[0]] for each in (op.inputs, op.outputs))
            places = moved(op, before, after)
        if places is None:
            return self._reach(op, where)
        found: Layout = {}
        for axis, segments in self._layout(op.inputs[0]).items():
            if axis not in places:
                self.groups.fix(segments, f"its channels reach {where}")
                continue
            place, many = places[axis]
            found[place] = tuple((group, repeat * many) for group, repeat in segments)
        return found

    def _padded(self, op: Operation, where: str) -> Layout:
        own = self._layout(op.inputs[0])
        first = len(self._shapes[op.inputs[0]]) - len(op.args[1]) // 2  # that gets longer
        longer = {axis: segments for axis, segments in own.items() if axis >= first}
        self._fix(longer, f"its channels reach {where}")
        return {axis: segments for axis, segments in own.items() if axis < first}

    def _combined(self, op: Operation, where: str) -> Layout:
        rank = len(self._shapes[op.outputs[0]])
        found: Layout = {}
        for number in op.inputs:
            shift = rank - len(self._shapes[number])
            for axis, segments in self._layout(number).items():
                place = axis + shift
                if place in found:
                    self.groups.join(found[place], segments, f"{where} joins unlike layers")
                found.setdefault(place, segments)
        for number in op.inputs:
            shape = self._shapes[number]
            for place, segments in found.items():
                axis = place - rank + len(shape)
                if axis < 0 or shape[axis] == 1 or axis in self._layout(number):
                    continue
                if number in self._loose:
                    layout = self.weights.setdefault(self._loose[number], {})
                    self._layouts[number] = layout
                    layout[axis] = segments
                else:
                    self.groups.fix(
                        segments, f"its channels reach {where} with others that are fixed"
                    )
        return found

    def _concatenated(self, op: Operation, where: str) -> Layout:
        rank = len(self._shapes[op.inputs[0]])
        along = op.kwargs.get("dim", op.args[1] if len(op.args) > 1 else 0) % rank
        found: Layout = {}
        for axis in {axis for number in op.inputs for axis in self._layout(number)}:
            parts = [self._layout(number).get(axis) for number in op.inputs]
            if axis == along:
                sizes = [self._shapes[number][axis] for number in op.inputs]
                found[axis] = tuple(
                    segment
                    for part, size in zip(parts, sizes, strict=True)
                    for segment in (part or self._constant(size, where))
                )
                continue
            known = [part for part in parts if part]
            for part in known[1:]:
                self.groups.join(known[0], part, f"{where} joins unlike layers")
            if len(known) < len(parts):
                self.groups.fix(known[0], f"its channels reach {where} with others that are fixed")
            found[axis] = known[0]
        return found

    def _constant(self, size: int, where: str) -> Segments:
        segments = ((self.groups.new(size), 1),)
        self.groups.fix(segments, f"{where} has what no layer made")
        return segments


def _told(address: str) -> str:
    return address.removeprefix("calls.").replace("module/", "").removeprefix("module.")


def _owners(module: nn.Module) -> Mapping[int, int]:
    """Returns how many names each weight has."""
    counts: dict[int, int] = {}
    every: Iterable[tuple[str, Tensor]] = module.named_parameters(remove_duplicate=False)
    for _, weight in every:
        counts[id(weight)] = counts.get(id(weight), 0) + 1
    return counts
