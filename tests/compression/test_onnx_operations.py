"""ONNX operators in PyTorch: each computes what ONNX Runtime does, and gradients pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from pawl.compression.operations import OPERATIONS, UntrainableError, attributes, rounded
from pawl.deployment.export import session

RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


X, Y, IMAGE = some(3, 4), some(3, 4), some(2, 4, 6, 6)
POSITIVE, SURE = np.abs(X) + 0.1, X > 0
ONE_SCALE, SCALES = (
    np.array(0.05, dtype=np.float32),
    np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32),
)
BYTES = RNG.integers(-100, 100, (3, 4)).astype(np.int8)
Case = tuple[str, dict[str, Any], Sequence[np.ndarray | None]]
CASES: list[Case] = [
    *((name, {}, [X]) for name in (
        "Abs", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu",
        "LogSoftmax", "Mish", "Neg", "Reciprocal", "Relu", "Selu", "Shape", "Sigmoid", "Sin", "Softmax",
        "Softplus", "Tanh",
    )),
    *((name, {}, [X, Y]) for name in (
        "Add", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mul",
        "PRelu", "Sub", "Sum",
    )),
    *((name, {}, [SURE, ~SURE]) for name in ("And", "Or")),
    ("Not", {}, [SURE]), ("Log", {}, [POSITIVE]), ("Sqrt", {}, [POSITIVE]),
    ("Pow", {}, [POSITIVE, np.array(2, dtype=np.float32)]), ("Where", {}, [SURE, X, Y]),
    ("Div", {}, [ints(7, -7), ints(2, 2)]), ("Gelu", {"approximate": "tanh"}, [X]),
    ("Elu", {"alpha": 0.5}, [X]), ("LeakyRelu", {"alpha": 0.3}, [X]), ("Softmax", {"axis": 0}, [X]),
    ("Cast", {"to": onnx.TensorProto.INT64}, [X]),
    ("Clip", {}, [X, np.float32(-0.5), np.float32(0.5)]), ("Clip", {}, [X, None, np.float32(0.5)]),
    ("Concat", {"axis": 1}, [X, Y]), ("Constant", {"value": numpy_helper.from_array(X)}, []),
    ("Expand", {}, [some(3, 1), ints(2, 3, 4)]), ("Flatten", {"axis": 2}, [IMAGE]),
    ("Gather", {"axis": 1}, [X, np.array([[0, -1], [2, 1]])]), ("Gather", {}, [X, np.array(1)]),
    ("Gemm", {"alpha": 0.5, "beta": 2.0, "transB": 1}, [X, some(5, 4), some(5)]),
    ("Gemm", {"transA": 1}, [X, some(3, 5)]), ("MatMul", {}, [some(2, 3, 4), some(4, 5)]),
    ("Conv", {"pads": [1, 0, 1, 2], "strides": [2, 1]}, [IMAGE, some(8, 4, 3, 3), some(8)]),
    ("Conv", {"group": 4, "dilations": [2, 2]}, [IMAGE, some(4, 1, 2, 2)]),
    ("Conv", {"pads": [2, 0]}, [some(2, 4, 6), some(3, 4, 3)]),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, [IMAGE]),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, [IMAGE]),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, [IMAGE]),
    ("MaxPool", {"kernel_shape": [3], "dilations": [2]}, [some(2, 4, 9)]),
    ("GlobalAveragePool", {}, [IMAGE]), ("GlobalMaxPool", {}, [IMAGE]),
    ("BatchNormalization", {}, [IMAGE, some(4), some(4), some(4), np.abs(some(4))]),
    ("InstanceNormalization", {}, [IMAGE, some(4), some(4)]),
    ("LayerNormalization", {"axis": -1}, [X, some(4), some(4)]),
    ("Pad", {}, [X, ints(0, 1, 2, 0), np.float32(3.0)]), ("Pad", {}, [X, ints(1, 2), None, ints(1)]),
    ("ReduceMean", {"axes": [2, 3]}, [IMAGE]), ("ReduceSum", {"keepdims": 0}, [IMAGE, ints(1)]),
    ("ReduceSum", {"noop_with_empty_axes": 1}, [X]), ("ReduceMax", {"keepdims": 0}, [X]),
    ("ReduceMin", {"axes": [0]}, [X]), ("Reshape", {}, [IMAGE, ints(0, -1, 3)]),
    ("Slice", {}, [IMAGE, ints(1, -4), ints(99, -1), ints(1, 2)]),
    ("Slice", {}, [X, ints(-1), ints(-99), ints(1), ints(-2)]),
    ("Split", {"axis": 1}, [IMAGE, ints(1, 3)]), ("Split", {"axis": 1, "num_outputs": 2}, [IMAGE]),
    ("Squeeze", {}, [some(3, 1, 2), ints(1)]), ("Squeeze", {}, [some(3, 1, 2)]),
    ("Unsqueeze", {}, [X, ints(0, -1)]), ("Transpose", {"perm": [0, 2, 1]}, [some(2, 3, 4)]),
    ("Transpose", {}, [X]), ("Shape", {"start": 1, "end": 3}, [IMAGE]), ("Floor", {}, [3 * X]),
    ("ConstantOfShape", {"value": numpy_helper.from_array(ints(7))}, [ints(2, 3)]),
    ("ConstantOfShape", {}, [ints(2)]), ("Tile", {}, [X, ints(2, 1)]),
    ("Einsum", {"equation": "bij,bkj->bik"}, [some(2, 3, 4), some(2, 5, 4)]),
    ("Range", {}, [np.array(1), np.array(7), np.array(2)]),
    ("QuantizeLinear", {}, [X, ONE_SCALE, np.uint8(128)]),
    ("QuantizeLinear", {"axis": 1}, [X, SCALES, np.zeros(4, dtype=np.int8)]),
    ("DequantizeLinear", {"axis": 1}, [BYTES, SCALES, np.zeros(4, dtype=np.int8)]),
    ("DequantizeLinear", {}, [BYTES, ONE_SCALE, np.int8(3)]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_each_computes_what_onnx_runtime_does(case: Case) -> None:
    name, own, given = case
    arrays = [None if each is None else np.asarray(each) for each in given]
    names = [f"x{at}" if each is not None else "" for at, each in enumerate(arrays)]
    count = 2 if name == "Split" else 1
    outs = [f"y{at}" for at in range(count)]
    version = 17 if name.startswith("Reduce") and "axes" in own else 20
    node = helper.make_node(name, names, outs, **own)
    feeds = {n: each for n, each in zip(names, arrays, strict=True) if each is not None}
    graph = helper.make_graph(
        [node], name,
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
         for n, v in feeds.items()],
        [onnx.ValueInfoProto(name=out) for out in outs],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10
    )
    expected = session(model.SerializeToString()).run(None, feeds)
    tensors = [None if each is None else torch.from_numpy(each.copy()) for each in arrays]
    made = OPERATIONS[name](attributes(node), tensors)
    found = made if isinstance(made, list) else [made]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-5, atol=1e-5)


def test_every_operation_is_held() -> None:
    assert {name for name, *_ in CASES} == set(OPERATIONS)


def test_rounding_passes_gradients_and_ranges_stop_them() -> None:
    x = torch.tensor([0.26, -0.24, 9.0], requires_grad=True)
    assert rounded(x).tolist() == [0.0, 0.0, 9.0]
    scale, zero = torch.tensor(0.1), torch.tensor(0, dtype=torch.int8)
    whole = OPERATIONS["QuantizeLinear"]({}, [x, scale, zero])
    back = OPERATIONS["DequantizeLinear"]({}, [whole, scale, zero])
    torch.testing.assert_close(back, torch.tensor([0.3, -0.2, 9.0]))
    back.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1.0, 1.0, 1.0])
    x.grad = None
    OPERATIONS["QuantizeLinear"]({}, [10 * x, scale, zero]).sum().backward()
    assert x.grad[2] == 0  # 900 is more than 127 holds


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(UntrainableError, match="auto_pad"):
        OPERATIONS["Conv"]({"auto_pad": "SAME_UPPER"}, [torch.zeros(1, 1, 4), torch.zeros(1, 1, 3)])
    with pytest.raises(UntrainableError, match="rim"):
        OPERATIONS["Pad"]({"mode": "reflect"}, [torch.zeros(4), torch.tensor([1, 1])])
