"""Which channels of a module belong together, from what it does in one forward.

Each axis of a tensor that a layer made, or that lies along it, has a layout: segments, each of them a group
of channels of which each stands for so many neighbors (`flatten` makes `H * W` of each). What adds
two tensors makes one group of theirs. A group is fixed where something is done along its axis that is not
known to treat channels alike, with the operation's address as the reason.

Shape legend: `B` rows, `C` channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from pawl.models.member_layers import KeyedDropout
from pawl.models.operations import Operation, Trace
from pawl.models.surgery import ACTIVATION_TYPES

Segments = tuple[tuple[int, int], ...]
"""Groups along an axis, and for each channel of one how many neighbors stand for it."""
Layout = dict[int, Segments]
"""By axis, of those that are followed."""

_OVER_CHANNELS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.InstanceNorm1d,
    nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_OVER_LAST = (nn.LayerNorm, nn.RMSNorm)
_ELEMENTWISE_LAYERS = (*ACTIVATION_TYPES, KeyedDropout, nn.Dropout, nn.Identity, nn.LogSigmoid, nn.ELU)
_POOLING_LAYERS = tuple(
    getattr(nn, f"{kind}{axes}d")
    for kind in ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
    for axes in (1, 2, 3)
) + (nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)
_ELEMENTWISE = frozenset(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu selu silu mish hardswish hardtanh hardsigmoid gelu "
    "softplus sigmoid sigmoid_ tanh tanh_ dropout dropout2d clone contiguous to float double exp abs "
    "neg __neg__ clamp clamp_ clamp_min sqrt square pow __pow__ detach type".split()
)
_ARITHMETIC = frozenset(
    "add sub mul div true_divide add_ sub_ mul_ div_ __add__ __radd__ __rsub__ __sub__ __mul__ "
    "__rmul__ __truediv__ maximum minimum".split()
)
_RESHAPING = frozenset("view reshape flatten squeeze unsqueeze unflatten".split())
_REDUCING = frozenset("mean sum amax".split())
_POOLING = frozenset(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_max_pool2d interpolate".split()
)


@dataclass(eq=False)
class Weighted:
    """A layer with weights along channels: what its input and its output consist of."""

    reads: Segments | None = None
    writes: Segments | None = None
    same: bool = False


class Channels:
    """Follows channels through a trace.

    Args:
        trace: What happened.
        module: The copy that ran.

    Attributes:
        layers: By name.
    """

    def __init__(self, trace: Trace, module: nn.Module) -> None:
        self.layers: dict[str, Weighted] = {}
        self._trace = trace
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._fixed: dict[int, str] = {}
        self._multiples: dict[int, int] = {}
        self._compared: list[int] = []
        self._layouts: dict[int, Layout] = {}
        self._owners = _owners(module)
        self._ids = {id(tensor): number for number, tensor in enumerate(trace.tensors)}
        for op in trace.operations:
            layouts = self._layer(op) if op.layer is not None else self._function(op)
            for number in op.outputs:
                self._layouts[number] = layouts if len(op.outputs) == 1 else {}
        for number in trace.results:
            self._fix(self._layout(number), "it is what the model returns")
        self._trace = Trace()  # which has tensors, and the copy

    def group(self, number: int) -> int:
        """Returns the number under which a group goes with all that it was joined with."""
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def size(self, group: int) -> int:
        """Returns its channels."""
        return self._sizes[self.group(group)]

    def multiple(self, group: int) -> int:
        """Returns what its channels must be a multiple of."""
        return self._multiples.get(self.group(group), 1)

    def compared(self, group: int) -> bool:
        """Tells whether a normalization compares its channels: each must be there as often as others."""
        return self.group(group) in {self.group(each) for each in self._compared}

    def groups(self) -> dict[int, list[str]]:
        """Returns the groups that may have other sizes, each with the layers that make it."""
        found: dict[int, list[str]] = {}
        fixed = self.fixed()
        for name, layer in self.layers.items():
            if layer.same or not layer.writes:
                continue
            for each, _ in layer.writes:
                root = self.group(each)
                if root not in fixed:
                    found.setdefault(root, []).append(name)
        return found

    def fixed(self) -> dict[int, str]:
        """Returns the groups that have to stay, with the reason."""
        found: dict[int, str] = {}
        for number, reason in self._fixed.items():
            found.setdefault(self.group(number), reason)
        return found

    def reasons(self) -> dict[str, str]:
        """Returns for each layer whose outputs have to stay why."""
        fixed = self.fixed()
        return {
            name: fixed[self.group(layer.writes[0][0])]
            for name, layer in self.layers.items()
            if layer.writes and not layer.same and self.group(layer.writes[0][0]) in fixed
        }

    # Groups

    def _new(self, size: int) -> int:
        self._parents.append(len(self._parents))
        self._sizes.append(size)
        return len(self._parents) - 1

    def _fix(self, layout: Layout | Segments | None, reason: str) -> None:
        if isinstance(layout, dict):
            for segments in layout.values():
                self._fix(segments, reason)
        elif layout:
            for group, _ in layout:
                self._fixed.setdefault(self.group(group), reason)

    def _join(self, one: Segments, other: Segments, reason: str) -> None:
        """Makes segments that lie beside each other the same groups; fixes what cannot be."""
        mine, theirs = ([(self.size(g), r) for g, r in each] for each in (one, other))
        if mine != theirs:
            self._fix(one, reason)
            self._fix(other, reason)
            return
        for (first, _), (second, _) in zip(one, other, strict=True):
            a, b = self.group(first), self.group(second)
            if a != b:
                self._parents[b] = a
                self._multiples[a] = math.lcm(self.multiple(a), self._multiples.get(b, 1))

    def _layout(self, number: int) -> Layout:
        return self._layouts.get(number, {})

    def _rank(self, number: int) -> int:
        return len(self._trace.shapes[number])

    # Layers

    def _layer(self, op: Operation) -> Layout:
        layer, x = op.layer, op.inputs[0] if op.inputs else -1
        own = self._layout(x)
        last = self._rank(x) - 1 if op.inputs else -1
        where = f"{_told(op.address)!r} ({op.name})"
        if isinstance(layer, nn.Linear | _ConvNd):
            return self._weighted(op, layer, x, where)
        if isinstance(layer, _OVER_CHANNELS):
            return self._normalized(op, own, 1, where)
        if isinstance(layer, _OVER_LAST):
            if len(getattr(layer, "normalized_shape", ())) == 1:
                return self._normalized(op, own, last, where)
        elif isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
            return self._normalized(op, own, 1, where)
        elif isinstance(layer, _ELEMENTWISE_LAYERS):
            return own
        elif isinstance(layer, _POOLING_LAYERS):
            return self._only(own, 1, where)
        elif isinstance(layer, nn.Flatten):
            return self._reshaped(op, where)
        for number in op.inputs:
            self._fix(self._layout(number), f"its channels reach {where}")
        return {}

    def _weighted(self, op: Operation, layer: Any, x: int, where: str) -> Layout:
        name, shape = op.address.partition("#")[0], self._trace.shapes[x]
        own = dict(self._layout(x))
        axis = len(shape) - 1 if isinstance(layer, nn.Linear) else 1
        reads = own.pop(axis, None)
        groups = getattr(layer, "groups", 1)
        depthwise = groups > 1 and groups == layer.in_channels == layer.out_channels
        if isinstance(layer, _ConvNd):
            for other in list(own):
                self._fix(own.pop(other), f"its channels reach {where}")
        if depthwise:
            self._once(name, layer, reads, where)
            if not reads or any(repeat > 1 for _, repeat in reads):
                self._fix(reads, f"its channels reach {where}")
                return {}
            self.layers.setdefault(name, Weighted(reads, reads, same=True))
            return {1: reads}
        made: Segments = ((self._new(int(layer.weight.shape[_out_axis(layer)])), 1),)
        if groups > 1:
            self._fix(reads, f"its channels reach {where} of several groups")
            self._fix(made, f"{where} has several groups")
            return {**own, axis: made}
        self._once(name, layer, (*(reads or ()), *made), where)
        self.layers.setdefault(name, Weighted(reads, made))
        return {**own, axis: made}

    def _once(self, name: str, layer: nn.Module, segments: Segments | None, where: str) -> None:
        """Fixes what a layer has to do with that is called twice, or whose weights others have too."""
        if name in self.layers:
            self._fix(segments, f"{where} is called more than once")
            self._fix(self.layers[name].reads, f"{where} is called more than once")
            self._fix(self.layers[name].writes, f"{where} is called more than once")
        weights = dict(layer.named_parameters(recurse=False))
        if "weight" in layer._buffers or "bias" in layer._buffers:
            self._fix(segments, f"{where} has weights that are not trained")
        if any(self._owners.get(id(each), 0) > 1 for each in weights.values()):
            self._fix(segments, f"{where} shares its weights")
        if any(id(each) in self._ids for each in weights.values()):
            self._fix(segments, f"the weights of {where} are used in another place, too")

    def _normalized(self, op: Operation, own: Layout, axis: int, where: str) -> Layout:
        name, segments = op.address.partition("#")[0], own.get(axis)
        over = getattr(op.layer, "num_groups", None)
        if op.layer is not None:
            self._once(name, op.layer, segments, where)
        if segments is not None and over is not None:
            if len(segments) > 1 or segments[0][1] > 1:
                self._fix(segments, f"{where} normalizes groups of several layers' channels")
            root = self.group(segments[0][0])
            self._multiples[root] = math.lcm(self.multiple(root), over)
        if over is not None or isinstance(op.layer, _OVER_LAST):
            self._compared += [group for group, _ in segments or ()]
        self.layers.setdefault(name, Weighted(segments, segments, same=True))
        return own

    def _only(self, layout: Layout, axis: int, where: str) -> Layout:
        """Returns a layout's one axis; the others are fixed."""
        for other, segments in layout.items():
            if other != axis:
                self._fix(segments, f"its channels reach {where}")
        return {axis: layout[axis]} if axis in layout else {}

    # Functions

    def _function(self, op: Operation) -> Layout:
        where = f"{_told(op.address)!r}"
        followed = [number for number in op.inputs if self._layout(number)]
        if not followed:
            return {}
        x, name = op.inputs[0], op.name
        own, shapes = self._layout(x), self._trace.shapes
        same = len(op.outputs) == 1 and shapes[op.outputs[0]] == shapes[x]
        if name == "copy_" and len(op.inputs) == 2 and shapes[op.inputs[1]] == shapes[x]:
            return self._layout(op.inputs[1])
        if name in _ELEMENTWISE and len(op.inputs) == 1 and same:
            return own
        if name in _ARITHMETIC and len(op.inputs) <= 2:
            return self._combined(op, where)
        if name in _RESHAPING:
            return self._reshaped(op, where)
        if name in ("permute", "transpose"):
            return self._permuted(op, where)
        if name in _REDUCING and len(op.inputs) == 1:
            return self._reduced(op, where)
        if name in ("cat", "concat"):
            return self._concatenated(op, where)
        if name == "__getitem__" and len(op.inputs) == 1:
            return self._indexed(op, where)
        if name in _POOLING:
            return self._only(own, 1, where)
        if name == "pad" and len(op.args) > 1:
            first = self._rank(x) - len(op.args[1]) // 2  # the first axis that gets longer
            for axis in own:
                if axis >= first:
                    self._fix(own[axis], f"its channels reach {where}")
            return {axis: segments for axis, segments in own.items() if axis < first}
        for number in op.inputs:
            self._fix(self._layout(number), f"its channels reach {where}")
        return {}

    def _combined(self, op: Operation, where: str) -> Layout:
        rank = self._rank(op.outputs[0])
        found: Layout = {}
        for number in op.inputs:
            shape = self._trace.shapes[number]
            shift = rank - len(shape)
            for axis, segments in self._layout(number).items():
                place = axis + shift
                if place in found:
                    self._join(found[place], segments, f"{where} joins unlike layers")
                found.setdefault(place, segments)
        for number in op.inputs:
            shape = self._trace.shapes[number]
            for place, segments in found.items():
                axis = place - rank + len(shape)
                if axis >= 0 and shape[axis] > 1 and axis not in self._layout(number):
                    self._fix(segments, f"its channels reach {where} with others that are fixed")
        return found

    def _reshaped(self, op: Operation, where: str) -> Layout:
        before, after = (self._trace.shapes[each[0]] for each in (op.inputs, op.outputs))
        found: Layout = {}
        for axis, segments in self._layout(op.inputs[0]).items():
            ahead, place, many = math.prod(before[:axis]), None, 1
            for b in range(len(after)):
                if math.prod(after[:b]) != ahead or after[b] % before[axis] or after[b] == 0:
                    continue
                many = after[b] // before[axis]
                lengths = [math.prod(before[axis + 1 : end]) for end in range(axis + 1, len(before) + 1)]
                if many in lengths:
                    place = b
                    break
            if place is None:
                self._fix(segments, f"its channels reach {where}")
            else:
                found[place] = tuple((group, repeat * many) for group, repeat in segments)
        return found

    def _permuted(self, op: Operation, where: str) -> Layout:
        rank = self._rank(op.inputs[0])
        given = list(op.args[1:]) + list(op.kwargs.values())
        if len(given) == 1 and not isinstance(given[0], int):
            given = list(given[0])
        order = [axis % rank for axis in given]
        if op.name == "transpose":
            one, other = order
            order = list(range(rank))
            order[one], order[other] = other, one
        own = self._layout(op.inputs[0])
        return {order.index(axis): segments for axis, segments in own.items()}

    def _reduced(self, op: Operation, where: str) -> Layout:
        own, rank = self._layout(op.inputs[0]), self._rank(op.inputs[0])
        given = op.kwargs.get("dim", op.args[1] if len(op.args) > 1 else None)
        over = range(rank) if given is None else [given] if isinstance(given, int) else given
        reduced = {axis % rank for axis in over}
        kept = self._rank(op.outputs[0]) == rank
        found: Layout = {}
        for axis, segments in own.items():
            if axis in reduced:
                self._fix(segments, f"its channels reach {where}")
            else:
                found[axis if kept else axis - sum(each < axis for each in reduced)] = segments
        return found

    def _concatenated(self, op: Operation, where: str) -> Layout:
        rank = self._rank(op.inputs[0])
        given = op.kwargs.get("dim", op.args[1] if len(op.args) > 1 else 0)
        along = given % rank
        found: Layout = {}
        for axis in {axis for number in op.inputs for axis in self._layout(number)}:
            parts = [self._layout(number).get(axis) for number in op.inputs]
            if axis == along:
                sizes = [self._trace.shapes[number][axis] for number in op.inputs]
                found[axis] = tuple(
                    segment
                    for part, size in zip(parts, sizes, strict=True)
                    for segment in (part or self._constant(size, where))
                )
                continue
            known = [part for part in parts if part]
            for part in known[1:]:
                self._join(known[0], part, f"{where} joins unlike layers")
            if len(known) < len(parts):
                self._fix(known[0], f"its channels reach {where} with others that are fixed")
            found[axis] = known[0]
        return found

    def _constant(self, size: int, where: str) -> Segments:
        segments = ((self._new(size), 1),)
        self._fix(segments, f"{where} has what no layer made")
        return segments

    def _indexed(self, op: Operation, where: str) -> Layout:
        own, rank = self._layout(op.inputs[0]), self._rank(op.inputs[0])
        index = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
        plain = all(each is None or each is ... or isinstance(each, int | slice) for each in index)
        if not plain:
            self._fix(own, f"its channels reach {where}")
            return {}
        if ... in index:
            at = index.index(...)
            missing = rank - sum(each is not None and each is not ... for each in index)
            index = (*index[:at], *[slice(None)] * missing, *index[at + 1 :])
        found: Layout = {}
        axis = place = 0
        padded = (*index, *[slice(None)] * (rank - sum(each is not None for each in index)))
        for each in padded:
            if each is None:
                place += 1
                continue
            if axis in own:
                if each == slice(None):
                    found[place] = own[axis]
                else:
                    self._fix(own[axis], f"its channels reach {where}")
            axis += 1
            place += not isinstance(each, int)
        return found


def _out_axis(layer: nn.Module) -> int:
    return 1 if isinstance(layer, _ConvTransposeNd) else 0


def _told(address: str) -> str:
    return address.removeprefix("calls.").replace("module/", "").removeprefix("module.")


def _owners(module: nn.Module) -> Mapping[int, int]:
    """Returns how many names each weight has."""
    counts: dict[int, int] = {}
    every: Iterable[tuple[str, Tensor]] = module.named_parameters(remove_duplicate=False)
    for _, weight in every:
        counts[id(weight)] = counts.get(id(weight), 0) + 1
    return counts
