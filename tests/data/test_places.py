"""Targets that lie on places of a row: steps of a sequence, pixels; and arrays in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from pawl.data import load, read_like
from pawl.errors import DataError, TaskError
from pawl.kinds import NOTHING
from pawl.options import ReadOptions
from pawl.task import Task

ROWS, LENGTH = 40, 6
GENERATOR = np.random.default_rng(0)
TOKENS = GENERATOR.integers(0, 5, (ROWS, LENGTH))
NEXT = np.roll(TOKENS, -1, axis=1)
NEXT[:, -1] = NOTHING
IMAGES = GENERATOR.normal(size=(ROWS, 1, 4, 8)).astype(np.float32)
MASKS = (IMAGES[:, 0] > 0).astype(int)


def task(data, **more):
    return Task(**{"data": data, "model": nn.Identity, **more})


@pytest.mark.parametrize(
    ("data", "kind", "shape", "outputs"),
    [
        ((TOKENS, NEXT), "sequence", (LENGTH,), 5),
        (({"a": IMAGES, "codes": TOKENS}, NEXT), "sequence", (LENGTH,), 5),
        (TensorDataset(torch.tensor(TOKENS), torch.tensor(NEXT)), "sequence", (LENGTH,), 5),
        ((IMAGES, MASKS), "dense", (4, 8), 2),
        ((IMAGES, MASKS[:, None]), "dense", (4, 8), 2),
        ((IMAGES, MASKS.astype(bool)), "dense", (4, 8), 2),
        ((IMAGES, 3 * MASKS), "dense", (4, 8), 4),
        ((IMAGES, IMAGES), "dense_regression", (4, 8), 1),
        ((torch.tensor(IMAGES), torch.tensor(IMAGES[:, 0])), "dense_regression", (4, 8), 1),
        (TensorDataset(torch.tensor(IMAGES), torch.tensor(MASKS)), "dense", (4, 8), 2),
    ],
)
def test_kind_and_places_are_inferred(data, kind, shape, outputs):
    found = load(task(data))
    schema = found.schema
    assert (schema.kind, schema.places, schema.num_outputs) == (kind, shape, outputs)
    assert found.development.targets.shape[1:] == found.test.targets.shape[1:] == shape
    assert len(found.development) + len(found.test) == ROWS
    again = read_like(schema, data, with_targets=True)
    wanted = data.tensors[1] if isinstance(data, TensorDataset) else torch.as_tensor(data[1])
    assert torch.equal(again.targets, wanted.view(ROWS, *shape).to(again.targets.dtype))


def test_values_that_32_bits_hardly_tell_apart_are_refused():
    far = 2_460_000 + 0.05 * IMAGES[:, 0].astype(np.float64)
    with pytest.raises(DataError, match="the target: its numbers become 32 bits"):
        load(task((IMAGES, far)))


def test_what_the_user_says_wins():
    assert load(task((TOKENS, NEXT), kind="sequence")).schema.kind == "sequence"
    floats = np.where(NEXT == NOTHING, NOTHING, NEXT).astype(float)
    assert load(task((TOKENS * 1.0, floats), kind="sequence")).schema.num_outputs == 5
    assert load(task((TOKENS, TOKENS), kind="multitarget")).schema.kind == "multitarget"
    assert load(task((IMAGES, MASKS * 1.0), kind="dense")).schema.kind == "dense"


def test_test_rows_given_apart():
    more = TOKENS[:4].copy()
    more[0, 0] = 7
    data = load(task((TOKENS, TOKENS), test=(TOKENS[:4], more)))
    assert (len(data.development), len(data.test), data.schema.num_outputs) == (ROWS, 4, 8)
    with pytest.raises(DataError, match=r"test rows have the shape \[5\], those of the data \[6\]"):
        load(task((TOKENS, TOKENS), test=(TOKENS[:4], TOKENS[:4, :5])))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"model": None},
            "targets are a class at each step .the kind sequence., for which pawl builds",
        ),
        ({"data": (TOKENS, NEXT[:-1])}, "got 40 rows of inputs and 39 targets"),
        ({"data": (TOKENS[:9], NEXT[:9])}, "got 9 row"),
        (
            {"data": (TOKENS, NEXT - 1)},
            "the class -1; allowed are whole numbers from 0 to .* and -100",
        ),
        (
            {"data": (TOKENS, NEXT + 0.5), "kind": "sequence"},
            "hold .*5, which is no class; allowed",
        ),
        ({"data": (TOKENS, 0 * NEXT)}, "the target is always 0 at every place"),
        ({"data": (TOKENS, 0 * NEXT + NOTHING)}, "the target is nothing at every place"),
        (
            {"data": (TOKENS, NEXT[:, :, None]), "kind": "sequence"},
            r"sequence allowed is .rows, len",
        ),
        ({"data": (TOKENS, NEXT), "kind": "dense"}, r"for dense allowed is .rows, height, width"),
        (
            {"data": (TOKENS, list("ab") * 20), "kind": "sequence"},
            "must be an array or tensor of numbe",
        ),
        (
            {"data": (IMAGES, np.where(MASKS, np.nan, 1.0))},
            "hold [0-9]+ value.s. that are NaN or infinite; fill",
        ),
        (
            {"read": ReadOptions(rare="drop")},
            "the option 'rare', which is not for the kind sequence",
        ),
        (
            {"read": ReadOptions(positive="1")},
            "the option 'positive', which is not for the kind sequ",
        ),
        ({"target": "next"}, "got the target 'next', but a target column is for tables"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises((DataError, TaskError), match=message) as caught:
        load(task(**{"data": (TOKENS, NEXT), **given}))
    assert "\n" not in str(caught.value)


def test_new_rows_must_be_like_the_old_ones():
    schema = load(task((TOKENS, TOKENS))).schema
    assert read_like(schema, TOKENS[:3]).targets is None
    with pytest.raises(DataError, match=r"targets have the shape \[5\]; \[6\] is needed"):
        read_like(schema, (TOKENS, TOKENS[:, :5]), with_targets=True)
    with pytest.raises(DataError, match="the target has the class 9; known are 0 to 4"):
        read_like(schema, (TOKENS, TOKENS + 5), with_targets=True)


# Files


def test_arrays_of_a_file(tmp_path):
    path = tmp_path / "tokens.npz"
    np.savez(path, x=TOKENS, target=NEXT)
    data, same = load(task(path)), load(task((TOKENS, NEXT)))
    assert (data.name, data.schema) == ("tokens", same.schema)
    assert torch.equal(data.development.targets, same.development.targets)
    np.savez_compressed(path, tokens=TOKENS, image=IMAGES, y=MASKS)
    data = load(task(str(path)))
    assert [spec.name for spec in data.schema.inputs] == ["tokens", "image"]
    assert (data.schema.style, data.schema.kind) == ("dict", "dense")
    assert len(read_like(data.schema, path)) == ROWS


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"no zip"), "cannot be read as arrays"),
        (lambda path: np.savez(path, y=NEXT), "holds no inputs; allowed are arrays by name"),
        (lambda path: np.savez(path, x=TOKENS), "without targets"),
        (
            lambda path: np.savez(path, x=np.array([{}], dtype=object), y=NEXT),
            "cannot be read as arr",
        ),
        (lambda path: np.savez(path, x=TOKENS[:5], y=NEXT), "rows of inputs and 40 targets"),
    ],
)
def test_a_file_that_cannot_be_used(write, message, tmp_path):
    path = tmp_path / "rows.npz"
    write(path)
    with pytest.raises(DataError, match=message) as caught:
        load(task(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_more_than_memory(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000)), y=np.zeros(1000))
    monkeypatch.setenv("PAWL_MEMORY", "1MB")
    with pytest.raises(DataError, match=r"large.npz needs 7.6 MiB of memory"):
        load(task(path))
