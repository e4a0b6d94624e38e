"""ONNX operators as PyTorch functions, so that a graph's own weights can be trained on.

Each takes a node's attributes and its inputs, and returns its one output, or several. Whole numbers of
`QuantizeLinear` are kept as floats, and rounding passes gradients on as if it were none (Bengio et al.,
Estimating or Propagating Gradients Through Stochastic Neurons, 2013).

Reference: https://onnx.ai/onnx/operators/ (operator sets 13 to 20).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

Attributes = Mapping[str, Any]
Inputs = Sequence[Any]
Operation = Callable[[Attributes, Inputs], Any]
_TYPES = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.UINT8: torch.uint8, onnx.TensorProto.INT8: torch.int8,
}  # fmt: skip


class UntrainableError(Exception):
    """What an operator asks for is not known here; the text says what."""


def rounded(x: Tensor) -> Tensor:
    """Returns the nearest whole numbers, whose gradient is that of `x`."""
    return x + (x.round() - x).detach()


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Returns a node's attributes as Python values."""
    found = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return {n: v.decode() if isinstance(v, bytes) else v for n, v in found.items()}


def _ints(x: Tensor) -> list[int]:
    return [int(each) for each in x.flatten().tolist()]


def _axes(a: Attributes, x: Inputs, default: Sequence[int] = ()) -> tuple[int, ...]:
    """Returns axes, which older operator sets have as an attribute."""
    if len(x) > 1 and x[1] is not None:
        return tuple(_ints(x[1]))
    return tuple(a.get("axes", default))


def _reduced(function: Callable[..., Tensor]) -> Operation:
    def apply(a: Attributes, x: Inputs) -> Any:
        axes = _axes(a, x)
        if not axes and a.get("noop_with_empty_axes", 0):
            return x[0]
        every = axes or tuple(range(x[0].dim()))
        return function(x[0], dim=every, keepdim=bool(a.get("keepdims", 1)))

    return apply


def _pads(a: Attributes, x: Tensor, kernel: Sequence[int], fill: float) -> Tensor:
    """Returns `x` with the rim that a node asks for."""
    places = len(kernel)
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise UntrainableError(f"auto_pad {a['auto_pad']}")
    pads = list(a.get("pads", [0] * 2 * places))
    if not any(pads):
        return x
    flat = [n for at in reversed(range(places)) for n in (pads[at], pads[at + places])]
    return F.pad(x, flat, value=fill)


def _convolution(a: Attributes, x: Inputs) -> Tensor:
    kernel = x[1].shape[2:]
    ones = [1] * len(kernel)
    call = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 1]
    return call(
        _pads(a, x[0], kernel, 0.0), x[1], x[2] if len(x) > 2 else None,
        stride=tuple(a.get("strides", ones)), dilation=tuple(a.get("dilations", ones)),
        groups=int(a.get("group", 1)),
    )  # fmt: skip


def _pooled(call: Sequence[Callable[..., Any]], fill: float) -> Operation:
    def apply(a: Attributes, x: Inputs) -> Tensor:
        kernel = tuple(a["kernel_shape"])
        strides = tuple(a.get("strides", [1] * len(kernel)))
        dilations = tuple(a.get("dilations", [1] * len(kernel)))
        pads = any(a.get("pads", ()))
        counts = bool(a.get("count_include_pad", 0))
        if fill == 0.0 and pads and not counts:
            raise UntrainableError("a mean that leaves out the rim")
        given: dict[str, Any] = {"ceil_mode": bool(a.get("ceil_mode", 0))}
        if any(d != 1 for d in dilations):
            given["dilation"] = dilations
        result: Tensor = call[len(kernel) - 1](
            _pads(a, x[0], kernel, fill), kernel, strides, **given
        )
        return result

    return apply


def _gemm(a: Attributes, x: Inputs) -> Any:
    one = x[0].mT if a.get("transA", 0) else x[0]
    two = x[1].mT if a.get("transB", 0) else x[1]
    out = a.get("alpha", 1.0) * (one @ two)
    return out if len(x) < 3 or x[2] is None else out + a.get("beta", 1.0) * x[2]


def _reshape(a: Attributes, x: Inputs) -> Any:
    wanted = _ints(x[1])
    if not a.get("allowzero", 0):
        wanted = [x[0].shape[at] if size == 0 else size for at, size in enumerate(wanted)]
    return x[0].reshape(wanted)


def _slice(a: Attributes, x: Inputs) -> Tensor:
    out: Tensor = x[0]
    starts, ends = _ints(x[1]), _ints(x[2])
    axes = _ints(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = _ints(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = out.shape[axis]
        places = range(size)[slice(start, None if step < 0 and end < -size else end, step)]
        if step == 1:
            out = out.narrow(axis, places.start, len(places))
        else:
            out = out.index_select(axis, torch.tensor(list(places)))
    return out


def _split(a: Attributes, x: Inputs) -> list[Tensor]:
    axis, out = int(a.get("axis", 0)), x[0]
    if len(x) > 1 and x[1] is not None:
        return list(out.split(_ints(x[1]), dim=axis))
    size = math.ceil(out.shape[axis] / int(a["num_outputs"]))
    return list(out.split(size, dim=axis))


def _gather(a: Attributes, x: Inputs) -> Any:
    axis = int(a.get("axis", 0)) % x[0].dim()
    index = x[1].long()
    index = torch.where(index < 0, index + x[0].shape[axis], index)
    shape = (*x[0].shape[:axis], *index.shape, *x[0].shape[axis + 1 :])
    return x[0].index_select(axis, index.flatten()).reshape(shape)


def _squeezed(a: Attributes, x: Inputs) -> Any:
    axes = _axes(a, x, [at for at, size in enumerate(x[0].shape) if size == 1])
    return x[0].squeeze(tuple(axes)) if axes else x[0]


def _unsqueezed(a: Attributes, x: Inputs) -> Tensor:
    axes = _axes(a, x)
    out: Tensor = x[0]
    for axis in sorted(each % (x[0].dim() + len(axes)) for each in axes):
        out = out.unsqueeze(axis)
    return out


def _normed(a: Attributes, x: Inputs) -> Tensor:
    shape = x[0].shape[int(a.get("axis", -1)) :]
    return F.layer_norm(x[0], shape, x[1], x[2] if len(x) > 2 else None, a.get("epsilon", 1e-5))


def _expanded(a: Attributes, x: Inputs) -> Any:
    return x[0].expand(torch.broadcast_shapes(x[0].shape, tuple(_ints(x[1]))))  # type: ignore[no-untyped-call]


def _padded(a: Attributes, x: Inputs) -> Tensor:
    if a.get("mode", "constant") != "constant":
        raise UntrainableError(f"a rim of mode {a['mode']}")
    pads, places = _ints(x[1]), x[0].dim()
    axes = _ints(x[3]) if len(x) > 3 and x[3] is not None else list(range(places))
    both = {axis % places: (pads[at], pads[at + len(axes)]) for at, axis in enumerate(axes)}
    flat = [n for axis in reversed(range(places)) for n in both.get(axis, (0, 0))]
    fill = float(x[2]) if len(x) > 2 and x[2] is not None else 0.0
    return F.pad(x[0], flat, value=fill)


def _clipped(a: Attributes, x: Inputs) -> Tensor:
    low, high = (x[at] if len(x) > at else a.get(n) for at, n in ((1, "min"), (2, "max")))
    out: Tensor = x[0]
    out = out if low is None else torch.maximum(out, torch.as_tensor(low))
    return out if high is None else torch.minimum(out, torch.as_tensor(high))


def _along(values: Tensor, like: Tensor, axis: int) -> Tensor:
    """Returns scales or zero points so that they lie along an axis."""
    if values.dim() == 0 or values.numel() == 1:
        return values.reshape(())
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.reshape(shape)


def _quantized(a: Attributes, x: Inputs) -> Tensor:
    axis, zero = int(a.get("axis", 1)), x[2] if len(x) > 2 else torch.zeros((), dtype=torch.uint8)
    limits = torch.iinfo(zero.dtype)
    whole = rounded(x[0] / _along(x[1], x[0], axis)) + _along(zero.float(), x[0], axis)
    return whole.clamp(limits.min, limits.max)


def _dequantized(a: Attributes, x: Inputs) -> Any:
    axis, out = int(a.get("axis", 1)), x[0].float()
    zero = x[2].float() if len(x) > 2 and x[2] is not None else torch.zeros(())
    return (out - _along(zero, out, axis)) * _along(x[1], out, axis)


def _batch_normed(a: Attributes, x: Inputs) -> Tensor:
    return F.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=a.get("epsilon", 1e-5))


def _gelu(a: Attributes, x: Inputs) -> Tensor:
    return F.gelu(x[0], approximate=a.get("approximate", "none"))


def _constant(a: Attributes, x: Inputs) -> Tensor:
    if "value" not in a:
        raise UntrainableError("a constant that is no tensor")
    return torch.from_numpy(numpy_helper.to_array(a["value"]).copy())


def _filled(a: Attributes, x: Inputs) -> Tensor:
    fill = numpy_helper.to_array(a["value"]) if "value" in a else np.zeros(1, dtype=np.float32)
    return torch.from_numpy(fill.copy()).expand(_ints(x[0]))


def _power(a: Attributes, x: Inputs) -> Any:
    return x[0].pow(x[1].to(x[0].dtype))


def _divided(a: Attributes, x: Inputs) -> Tensor:
    whole = not x[0].is_floating_point()
    return torch.div(x[0], x[1], rounding_mode="trunc") if whole else x[0] / x[1]


def _plain(function: Callable[..., Any]) -> Operation:
    return lambda _, x: function(*x)


def _folded(function: Callable[[Any, Any], Any]) -> Operation:
    def apply(_: Attributes, x: Inputs) -> Any:
        out = x[0]
        for each in x[1:]:
            out = function(out, each)
        return out

    return apply


OPERATIONS: dict[str, Operation] = {
    "Abs": _plain(torch.abs), "Add": _plain(torch.add), "And": _plain(torch.logical_and),
    "AveragePool": _pooled((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), 0.0),
    "BatchNormalization": _batch_normed, "Cast": lambda a, x: x[0].to(_TYPES[a["to"]]),
    "Clip": _clipped, "Concat": lambda a, x: torch.cat(list(x), dim=a["axis"]),
    "Constant": _constant, "ConstantOfShape": _filled, "Conv": _convolution, "Cos": _plain(torch.cos),
    "DequantizeLinear": _dequantized, "Div": _divided,
    "Einsum": lambda a, x: torch.einsum(a["equation"], *x),
    "Elu": lambda a, x: F.elu(x[0], a.get("alpha", 1.0)), "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf), "Exp": _plain(torch.exp), "Expand": _expanded,
    "Floor": _plain(torch.floor),
    "Flatten": lambda a, x: x[0].reshape(math.prod(x[0].shape[: a.get("axis", 1)]), -1),
    "Gather": _gather, "Gelu": _gelu, "Gemm": _gemm,
    "GlobalAveragePool": lambda _, x: x[0].mean(tuple(range(2, x[0].dim())), keepdim=True),
    "GlobalMaxPool": lambda _, x: x[0].amax(tuple(range(2, x[0].dim())), keepdim=True),
    "Greater": _plain(torch.gt), "GreaterOrEqual": _plain(torch.ge),
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5)).clamp(0.0, 1.0),
    "HardSwish": lambda _, x: F.hardswish(x[0]), "Identity": lambda _, x: x[0],
    "InstanceNormalization": lambda a, x: F.instance_norm(
        x[0], weight=x[1], bias=x[2], eps=a.get("epsilon", 1e-5)
    ),
    "LayerNormalization": _normed, "LeakyRelu": lambda a, x: F.leaky_relu(x[0], a.get("alpha", 0.01)),
    "Less": _plain(torch.lt), "LessOrEqual": _plain(torch.le), "Log": _plain(torch.log),
    "LogSoftmax": lambda a, x: x[0].log_softmax(a.get("axis", -1)),
    "MatMul": _plain(torch.matmul), "Max": _folded(torch.maximum),
    "MaxPool": _pooled((F.max_pool1d, F.max_pool2d, F.max_pool3d), -math.inf),
    "Min": _folded(torch.minimum), "Mish": lambda _, x: F.mish(x[0]), "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg), "Not": _plain(torch.logical_not), "Or": _plain(torch.logical_or),
    "PRelu": lambda _, x: torch.where(x[0] < 0, x[1] * x[0], x[0]), "Pad": _padded, "Pow": _power,
    "QuantizeLinear": _quantized, "Reciprocal": _plain(torch.reciprocal),
    "ReduceMax": _reduced(torch.amax), "ReduceMean": _reduced(torch.mean),
    "Range": lambda _, x: torch.arange(*(each.item() for each in x), dtype=x[0].dtype),
    "ReduceMin": _reduced(torch.amin), "ReduceSum": _reduced(torch.sum),
    "Relu": _plain(torch.relu), "Reshape": _reshape,
    "Selu": lambda _, x: F.selu(x[0]), 
    "Shape": lambda a, x: torch.tensor(x[0].shape)[a.get("start", 0) : a.get("end")],
    "Sigmoid": _plain(torch.sigmoid), "Sin": _plain(torch.sin), "Slice": _slice,
    "Softmax": lambda a, x: x[0].softmax(a.get("axis", -1)), "Softplus": lambda _, x: F.softplus(x[0]),
    "Split": _split, "Sqrt": _plain(torch.sqrt), "Squeeze": _squeezed, "Sub": _plain(torch.sub),
    "Sum": _folded(torch.add), "Tanh": _plain(torch.tanh),
    "Tile": lambda _, x: x[0].tile(_ints(x[1])),
    "Transpose": lambda a, x: x[0].permute(a.get("perm", tuple(range(x[0].dim()))[::-1])),
    "Unsqueeze": _unsqueezed, "Where": _plain(torch.where),
}  # fmt: skip
