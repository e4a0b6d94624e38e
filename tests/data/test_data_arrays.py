"""Arrays, tensors and datasets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pawl.data import load, read_like
from pawl.errors import DataError, TaskError
from pawl.task import Task
from pawl.training.problem import Problem

X = np.random.default_rng(0).normal(size=(40, 5))
Y = np.arange(40) % 3


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def everything(data):
    """All rows of the only input, development first."""
    (spec,) = data.schema.inputs
    return torch.cat([data.development.inputs[spec.name], data.test.inputs[spec.name]])


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        (">f8", "float32"),
        ("int32", "int64"),
        ("uint16", "int64"),
        ("uint8", "uint8"),
        ("bool", "float32"),
    ],
)
def test_dtypes_of_arrays(dtype, kept):
    data = load(Task(data=(np.abs(X * 10).astype(dtype), Y)))
    assert (data.schema.source, data.schema.style, data.name) == ("arrays", "single", "arrays")
    assert [(spec.name, spec.shape) for spec in data.schema.inputs] == [("x", (5,))]
    assert data.schema.inputs[0].dtype == kept
    assert data.development.inputs["x"].dtype == getattr(torch, kept)
    assert data.schema.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.int8, torch.uint8, torch.bool]
)
def test_dtypes_of_tensors(dtype):
    x = torch.ones(40, 2, 3, requires_grad=dtype == torch.float64, dtype=dtype)
    data = load(Task(data=(x, torch.from_numpy(Y))))
    kept = {torch.int8: "int64", torch.uint8: "uint8"}.get(dtype, "float32")
    assert (data.schema.inputs[0].dtype, data.schema.inputs[0].shape) == (kept, (2, 3))


def test_the_users_arrays_are_copied():
    x = torch.arange(40.0)[:, None]
    data = load(Task(data=(x, Y), test=(x, Y)))
    x += 1
    assert data.development.inputs["x"][0, 0] == 0
    frozen = X.copy()
    frozen.flags.writeable = False
    load(Task(data=(frozen[::-1], Y)))


def test_dicts_and_tuples():
    data = load(Task(data=({"a": X, "b": Y}, Y)))
    assert data.schema.style == "dict"
    assert [spec.name for spec in data.schema.inputs] == ["a", "b"]
    assert data.development.inputs["b"].dtype == torch.int64
    data = load(Task(data=((X, torch.ones(40, 2)), Y)))
    assert data.schema.style == "tuple"
    assert [(spec.name, spec.shape) for spec in data.schema.inputs] == [("x0", (5,)), ("x1", (2,))]


def test_a_list_with_an_array_for_each_row_is_one_input():
    plain = load(Task(data=(X, Y)))
    for rows in (list(X), list(torch.from_numpy(X))):
        data = load(Task(data=(rows, Y)))
        assert data.schema == plain.schema
        assert torch.equal(everything(data), everything(plain))
        assert torch.equal(
            read_like(data.schema, rows).inputs["x"], torch.from_numpy(X.astype(np.float32))
        )


def test_targets_beside_frames_and_series():
    named = pd.DataFrame(X, columns=list("abcde"))
    plain = load(Task(data=(named, Y)))
    for targets in (Y[:, None], torch.from_numpy(Y), list(Y), pd.DataFrame({"target": Y})):
        assert load(Task(data=(named, targets))).fingerprint == plain.fingerprint
    texts = pd.Series(np.array(["red", "green", "blue"])[Y], name="color")
    data = load(Task(data=(texts, Y)))
    assert [column.name for column in data.schema.columns] == ["color"]


def test_nested_lists_are_one_array():
    data = load(Task(data=(X.tolist(), Y.tolist())))
    assert (data.schema.style, data.schema.inputs[0].shape) == ("single", (5,))


@pytest.mark.parametrize(
    ("targets", "kind", "classes"),
    [
        (Y, "multiclass", ("0", "1", "2")),
        (Y % 2, "binary", ("0", "1")),
        (Y % 2 * 2 - 1, "binary", ("-1", "1")),
        (Y * 5, "multiclass", ("0", "5", "10")),
        (Y - 1, "regression", ()),
        (Y.astype(float), "regression", ()),
        (torch.arange(40.0), "regression", ()),
        (Y == 0, "binary", ("False", "True")),
        (np.array(["b", "a"])[Y % 2], "binary", ("a", "b")),
        (np.array(["7", "10", "8"])[Y], "multiclass", ("7", "8", "10")),
        (pd.Series(Y), "multiclass", ("0", "1", "2")),
        (Y[:, None], "multiclass", ("0", "1", "2")),
        (np.arange(40, dtype=np.float16), "regression", ()),
    ],
)
def test_kind_is_inferred(targets, kind, classes):
    schema = load(Task(data=(X, targets))).schema
    assert (schema.kind, schema.classes) == (kind, classes)


def test_many_whole_numbers_are_a_regression():
    x = np.zeros((1000, 2)) + np.arange(1000)[:, None]
    assert load(Task(data=(x, np.arange(1000) % 101))).schema.kind == "regression"
    assert load(Task(data=(x, np.arange(1000) % 100))).schema.kind == "multiclass"


def test_the_tasks_kind_wins():
    assert load(Task(data=(X, Y), kind="regression")).schema.kind == "regression"
    assert load(Task(data=(X, Y * 1.0), kind="multiclass")).schema.classes == ("0", "1", "2")
    with pytest.raises(TaskError, match="has 3 classes"):
        load(Task(data=(X, Y), kind="binary"))


def test_rows_without_a_target_are_left_out():
    y = np.arange(40.0)
    y[:3] = np.nan
    data = load(Task(data=(X, y)))
    assert len(everything(data)) == 37
    assert data.notes == ("3 of 40 rows have no target and were left out",)
    data = load(Task(data=(X, [None, *Y[1:].tolist()])))
    assert (data.schema.kind, len(everything(data))) == ("multiclass", 39)


def test_given_test_arrays():
    data = load(Task(data=(X, Y), test=(X[:4].astype(np.float32), Y[:4])))
    assert (len(data.development), data.test.targets.tolist()) == (40, [0, 1, 2, 0])
    with pytest.raises(DataError, match=r"rows of shape \[4\]; \[5\] is needed"):
        load(Task(data=(X, Y), test=(X[:, :4], Y)))


# Datasets


def test_a_tensor_dataset():
    data = load(Task(data=TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))))
    assert (data.name, data.schema.style) == ("TensorDataset", "single")
    assert data.schema.classes == ("0", "1", "2")
    same = load(Task(data=(X, Y)))
    assert torch.equal(everything(data), everything(same))


@pytest.mark.parametrize(
    ("make", "style", "shapes"),
    [
        (lambda row: X[row], "single", [(5,)]),
        (float, "single", [()]),
        (lambda row: {"a": X[row], "b": row}, "dict", [(5,), ()]),
        (lambda row: (torch.ones(2, 3), X[row]), "tuple", [(2, 3), (5,)]),
    ],
)
def test_items_of_a_dataset(make, style, shapes):
    data = load(Task(data=Items([(make(row), int(Y[row])) for row in range(40)])))
    assert (data.name, data.schema.style) == ("Items", style)
    assert [spec.shape for spec in data.schema.inputs] == shapes


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            [(np.zeros(3 + row), row % 2) for row in range(30)],
            "has rows of unlike lengths, for which pawl",
        ),
        ([({"a": 1.0}, 0), ({"b": 1.0}, 0)], "item 1 has other inputs"),
        ([np.zeros(3)] * 30, r"item 0 is a ndarray; allowed is a pair"),
        ([(1, 2, 3)] * 30, "item 0 is a tuple of 3"),
        ([("text", 0)] * 30, "item 0 has an input of type str"),
        ([(1.0, np.zeros((2, 0)))] * 30, r"item 0 has a target of the shape \[2, 0\]"),
        ([], "has no items"),
    ],
)
def test_bad_items(items, message):
    with pytest.raises(DataError, match=message):
        load(Task(data=Items(items)))


def test_an_item_that_fails():
    class Broken(Items):
        def __getitem__(self, row):
            raise RuntimeError("disk\ngone")

    with pytest.raises(DataError, match="item 0 of the Broken cannot be read: RuntimeError: disk"):
        load(Task(data=Broken([1] * 30)))


def test_datasets_without_a_length_and_loaders():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    class Endless(Dataset):
        def __getitem__(self, row):
            return 1.0, 0

    with pytest.raises(DataError, match="IterableDataset; allowed is a map-style"):
        load(Task(data=Stream()))
    with pytest.raises(DataError, match="Endless without __len__"):
        load(Task(data=Endless()))
    with pytest.raises(DataError, match=r"give loader\.dataset"):
        load(Task(data=DataLoader(Items([(1.0, 0)]))))


# Prediction


def test_read_like_arrays():
    data = load(Task(data=(X, Y)))
    wanted = torch.from_numpy(X).float()
    for source in (X, torch.from_numpy(X), (X, Y), {"x": X}, X.tolist(), Items(list(X))):
        examples = read_like(data.schema, source)
        assert examples.targets is None
        assert torch.equal(examples.inputs["x"], wanted)
    assert read_like(data.schema, (X, Y), with_targets=True).targets.tolist() == Y.tolist()
    items = Items(list(zip(X, Y.tolist(), strict=True)))
    assert read_like(data.schema, items, with_targets=True).targets.tolist() == Y.tolist()
    assert read_like(data.schema, [[1, 2, 3, 4, 5]] * 2).inputs["x"].shape == (2, 5)


def test_read_like_dicts_and_tuples():
    two = load(Task(data=((X, X[:, :2]), Y))).schema
    for source in ((X, X[:, :2]), ((X, X[:, :2]), Y)):
        assert list(read_like(two, source).inputs) == ["x0", "x1"]
    assert read_like(two, ((X, X[:, :2]), Y), with_targets=True).targets is not None
    named = load(Task(data=({"a": X, "b": Y}, Y))).schema
    assert list(read_like(named, {"b": Y, "more": X, "a": X}).inputs) == ["a", "b"]
    with pytest.raises(DataError, match="got the inputs a; a, b are needed"):
        read_like(named, {"a": X})


def test_read_like_casts_only_what_fits():
    pixels = np.abs(X * 10).astype(np.uint8)
    schema = load(Task(data=(pixels, Y))).schema
    assert read_like(schema, pixels.astype(int)).inputs["x"].dtype == torch.uint8
    with pytest.raises(DataError, match="not allowed as uint8"):
        read_like(schema, pixels.astype(int) + 1000)
    with pytest.raises(DataError, match="got no targets"):
        read_like(schema, pixels, with_targets=True)


# Refused


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X, "got ndarray without targets"),
        (None, "got NoneType without targets; allowed is a path, a data frame"),
        ({}, "got dict without targets"),
        (({}, Y), "empty dict"),
        ((X, Y[:-1]), "40 rows of inputs and 39 targets"),
        ((X[:15], Y[:15]), r"got 15 row\(s\)"),
        ((X, np.eye(40)), "take the argmax if they are one-hot"),
        ((X, np.zeros(40, dtype=int)), "is always '0'"),
        ((X, np.full(40, np.nan)), "no row has a target"),
        ((X, [0, 1] * 19 + [2] * 2), "class '2' of the target .* or ask for the kind regression"),
        ((X.astype(str), Y), "allowed are arrays and tensors of numbers"),
        ((X + 1j, Y), "of dtype complex128"),
        ((torch.ones(40, 2, dtype=torch.complex64), Y), "is complex"),
        (([[1.0], [1.0, 2.0]] * 20, Y), "rows of unlike lengths, for which pawl builds a netw"),
        (([[[1.0]], [[1.0, 2.0]]] * 20, Y), "rows of different shapes"),
        (((X, X[1:]), Y), r"inputs differ in their number of rows \(x0: 40, x1: 39\)"),
        ((X, "target"), "got a str as targets; allowed is one value per row.*target='target'"),
        ((X, set(Y.tolist())), "got a set as targets; allowed is one value per row"),
        ((pd.DataFrame(X), "target"), "got a str as targets beside a data frame.*target='target'"),
        ((X.astype(str), Y), "allowed are .* numbers or booleans; .* give a pandas DataFrame"),
        ((csr_matrix(X), Y), r"input 'x' is sparse; .* use toarray\(\)"),
    ],
)
def test_bad_arrays(data, message):
    with pytest.raises(DataError, match=message) as caught:
        load(Task(data=data))
    assert "\n" not in str(caught.value)


def test_the_users_own_model_may_take_values_that_are_not_finite():
    x = X.copy()
    x[0] = np.nan
    data = load(Task(data=(x, Y), test=(x, Y), model=lambda: nn.Linear(5, 3)))
    assert "NaN or infinite and reach the task's model as they are" in data.notes[0]


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_gaps_of_arrays_are_filled_as_those_of_frames_are(odd):
    x = X.copy()
    x[::4, 1] = odd
    data = load(Task(data=(x, Y), test=(x, Y)))
    (spec,) = data.schema.inputs
    assert spec.missing == (False, True, False, False, False)
    assert (
        data.notes[:2] == ("input 'x': 10 value(s) are NaN or infinite and count as missing",) * 2
    )
    frame = pd.DataFrame(x).add_prefix("c")
    like = load(Task(data=(frame, Y), test=(frame, Y)))
    given, table = (Problem.of(Task(data=None), each).facts().sample for each in (data, like))
    torch.testing.assert_close(given["x"], table["numeric"])
    assert given["x"].isfinite().all()
    assert given["x"].shape[1] == 6


def test_gaps_of_arrays_that_are_no_vectors_are_filled():
    images, vectors = torch.rand(40, 3, 4, 5), torch.rand(40, 2)
    images[::4, 0, 0, 0] = torch.nan
    vectors[::5, 1] = -torch.inf
    data = load(Task(data=((images, vectors), Y)))
    sample = Problem.of(Task(data=None), data).facts().sample
    assert all(tensor.isfinite().all() for tensor in sample.values())
    assert (sample["x0"].shape[1:], sample["x1"].shape[1:]) == ((3, 4, 5), (3,))


def test_a_target_column_is_for_tables():
    with pytest.raises(DataError, match="this is arrays"):
        load(Task(data=(X, Y), target="species"))


# Rows of unlike lengths


LENGTHS = [1 + row % 7 for row in range(40)]
RAGGED = [np.arange(length) + row for row, length in enumerate(LENGTHS)]


def read_ragged(data, **more):
    return load(Task(data=data, model=torch.nn.Identity, **more))


@pytest.mark.parametrize(
    ("inputs", "style", "names"),
    [
        (RAGGED, "single", ["x", "x_mask"]),
        ([torch.tensor(row) for row in RAGGED], "single", ["x", "x_mask"]),
        ([row.tolist() for row in RAGGED], "single", ["x", "x_mask"]),
        (np.array(RAGGED, dtype=object), "single", ["x", "x_mask"]),
        ({"a": X, "words": RAGGED}, "dict", ["a", "words", "words_mask"]),
        ((X, RAGGED), "tuple", ["x0", "x1", "x1_mask"]),
    ],
)
def test_rows_of_unlike_lengths_are_padded_with_a_mask(inputs, style, names):
    data = read_ragged((inputs, Y))
    schema = data.schema
    assert (schema.style, [spec.name for spec in schema.inputs]) == (style, names)
    assert [spec.is_mask for spec in schema.inputs] == [name.endswith("_mask") for name in names]
    again = read_like(schema, (inputs, Y) if style != "single" else inputs)
    values, mask = list(again.inputs.values())[-2:]
    assert (values.shape, mask.dtype) == ((40, 7), torch.int64)
    assert mask.sum(1).tolist() == LENGTHS
    for row, value, there in zip(RAGGED, values, mask.bool(), strict=True):
        assert value[there].tolist() == row.tolist()
        assert not value[~there].any()


def test_new_rows_are_padded_like_the_old_ones():
    schema = read_ragged((RAGGED, Y)).schema
    for rows in (RAGGED[:3], [row[:1] for row in RAGGED]):  # shorter ones, and all alike
        again = read_like(schema, rows)
        assert again.inputs["x"].shape == (len(rows), 7)
        assert again.inputs["x_mask"].sum(1).tolist() == [len(row) for row in rows]
    with pytest.raises(DataError, match="has a row of length 9; the longest allowed is 7"):
        read_like(schema, [np.arange(9)])


def test_test_rows_are_padded_like_the_others():
    data = read_ragged((RAGGED, Y), test=(RAGGED[:3], Y[:3]))
    assert data.test.inputs["x"].shape == (3, 7)
    with pytest.raises(DataError, match="test rows without targets"):
        read_ragged((RAGGED, Y), test={"x": RAGGED[:3]})
    tags = [row % 3 for row in RAGGED]
    data = read_ragged((RAGGED, tags), test=(RAGGED[:3], tags[:3]))
    assert data.test.targets.shape == (3, 7)


def test_rows_of_unlike_lengths_are_refused_where_no_mask_would_tell():
    task = Task(data=(X, Y), model=lambda spec: nn.Linear(5, 3))
    schema = load(task).schema
    ragged = [[1.0] * 5, [1.0] * 3]
    for rows in (ragged, {"x": ragged}):
        with pytest.raises(DataError, match=r"unlike lengths; \[5\] is needed for each"):
            read_like(schema, rows)
    with pytest.raises(DataError, match=r"unlike lengths; \[5\] is needed for each"):
        load(Task(data=(X, Y), test=(ragged, [0, 1]), model=task.model))


def test_targets_of_padded_steps_are_none():
    data = read_ragged((RAGGED, [row % 3 for row in RAGGED]))
    assert (data.schema.kind, data.schema.places, data.schema.num_outputs) == ("sequence", (7,), 3)
    rows = read_like(data.schema, (RAGGED, [row % 3 for row in RAGGED]), with_targets=True)
    assert ((rows.targets == -100) == (rows.inputs["x_mask"] == 0)).all()


def test_items_of_unlike_lengths():
    data = read_ragged(Items([({"words": row}, int(y)) for row, y in zip(RAGGED, Y, strict=True)]))
    assert [spec.shape for spec in data.schema.inputs] == [(7,), (7,)]
    data = read_ragged(Items(list(zip(map(torch.tensor, RAGGED), Y.tolist(), strict=True))))
    assert [spec.name for spec in data.schema.inputs] == ["x", "x_mask"]
