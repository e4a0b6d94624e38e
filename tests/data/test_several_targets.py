"""Several targets at once: named in tables, beside frames, in arrays; what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from pawl.data import load, read_like
from pawl.errors import DataError, TaskError
from pawl.options import ReadOptions
from pawl.task import Task

ROWS = 60
X = np.random.default_rng(0).normal(size=(ROWS, 4))
LABELS = np.random.default_rng(1).integers(0, 2, (ROWS, 3))


def table() -> pd.DataFrame:
    """Four features, three labels in unlike writings, and two quantities."""
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["wet"] = np.where(LABELS[:, 0], "yes", "no")
    frame["cold"] = LABELS[:, 1]
    frame["dark"] = LABELS[:, 2].astype(bool)
    frame["rain"] = 3 * X[:, 0]
    frame["wind"] = 100 + X[:, 1]
    return frame


@pytest.mark.parametrize(
    "target", ["wet,cold, dark", ["wet", "cold", "dark"], ("wet,cold", "dark")]
)
def test_labels_of_a_table(target, tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    data = load(Task(data=tmp_path / "t.csv", target=target))
    schema = data.schema
    assert (schema.kind, schema.num_outputs, schema.classes) == ("multilabel", 3, ())
    assert schema.target == "wet, cold, dark"
    assert [column.classes for column in schema.targets] == [
        ("no", "yes"), ("0", "1"), ("False", "True")
    ]  # fmt: skip
    assert [column.name for column in schema.columns] == ["a", "b", "c", "d", "rain", "wind"]
    again = read_like(schema, table(), with_targets=True).targets
    assert again.dtype == torch.float32
    assert again.tolist() == LABELS.tolist()


def test_quantities_of_a_table():
    data = load(Task(data=table(), target=["rain", "wind"]))
    assert (data.schema.kind, data.schema.num_outputs) == ("multitarget", 2)
    targets = read_like(data.schema, table(), with_targets=True).targets
    np.testing.assert_allclose(targets.numpy(), table()[["rain", "wind"]].to_numpy("float32"))
    assert data.headline.startswith("regression of several targets of 'rain', 'wind', 60 rows")


def test_a_header_with_a_comma_is_one_target():
    frame = table().rename(columns={"rain": "a,b"})
    assert load(Task(data=frame, target="a,b")).schema.kind == "regression"
    assert load(Task(data=frame, target=["a,b", "wind"])).schema.target == "a,b, wind"


def test_rows_that_lack_one_of_the_targets_are_left_out():
    frame = table().astype({"cold": float, "dark": object})
    frame.loc[:3, "cold"] = np.nan
    frame.loc[3:6, "dark"] = None
    data = load(Task(data=frame, target="cold,dark"))
    assert len(data.development) + len(data.test) == ROWS - 7
    assert "7 of 60 rows have no target in 'cold, dark' and were left out" in data.notes


def test_the_positive_class_of_every_label_can_be_named():
    frame = table().assign(dark=np.where(LABELS[:, 2], "yes", "no"))
    task = Task(data=frame, target="wet,dark", read=ReadOptions(positive="no"))
    assert {column.classes for column in load(task).schema.targets} == {("yes", "no")}


@pytest.mark.parametrize(
    ("targets", "kind", "names"),
    [
        (LABELS, "multilabel", ["target_0", "target_1", "target_2"]),
        (LABELS.astype(np.float32), "multilabel", ["target_0", "target_1", "target_2"]),
        (torch.from_numpy(LABELS).bool(), "multilabel", ["target_0", "target_1", "target_2"]),
        (pd.DataFrame(LABELS[:, :2], columns=["p", "q"]), "multilabel", ["p", "q"]),
        (X[:, :2], "multitarget", ["target_0", "target_1"]),
        (pd.DataFrame(X[:, :2], columns=["p", "q"]), "multitarget", ["p", "q"]),
    ],
)
@pytest.mark.parametrize("frame", [False, True])
def test_targets_apart(targets, kind, names, frame):
    inputs = pd.DataFrame(X, columns=list("abcd")) if frame else X
    schema = load(Task(data=(inputs, targets))).schema
    assert (schema.kind, [column.name for column in schema.targets]) == (kind, names)
    examples = read_like(schema, (inputs, targets), with_targets=True)
    np.testing.assert_allclose(examples.targets.numpy(), np.asarray(targets, dtype=np.float32))


def test_items_of_a_dataset():
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(LABELS))
    assert load(Task(data=dataset)).schema.kind == "multilabel"


def test_test_rows_given_apart():
    data = load(Task(data=(X, LABELS), test=(X[:8], LABELS[:8])))
    assert (len(data.development), data.test.targets.tolist()) == (ROWS, LABELS[:8].tolist())
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = pd.DataFrame(LABELS, columns=list("xyz"))
    other = named[:8].rename(columns={"x": "u"})
    data = load(Task(data=(frame, named), test=(frame[:8], other)))
    assert data.test.targets.tolist() == LABELS[:8].tolist()
    with pytest.raises(
        DataError, match=r"got 2 target\(s\) \(x, y\), and 3 are needed \(x, y, z\)"
    ):
        load(Task(data=(frame, named), test=(frame[:8], named[:8][["x", "y"]])))
    with pytest.raises(DataError, match=r"got 2 target\(s\) a row, and 3 are needed"):
        load(Task(data=(X, LABELS), test=(X[:8], LABELS[:8, :2])))


def test_every_label_is_in_both_parts():
    rare = np.zeros((200, 3), dtype=int)
    rare[:20, 0], rare[20:80, 1], rare[:10, 2] = 1, 1, 1
    data = load(Task(data=(np.arange(200.0)[:, None], rare)))
    for part in (data.development, data.test):
        assert (part.targets.sum(0) > 0).all()
    few = rare.copy()
    few[4:, 2] = 0
    notes = load(Task(data=(np.arange(200.0)[:, None], few))).notes
    assert any(note.startswith("1 label(s) ('target_2') have fewer than 5") for note in notes)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"target": "rain,wett"}, r"no target 'wett' \(did you mean 'wet'\?\)"),
        ({"target": "rain,wet"}, "some of the targets rain, wet are labels and some are quant"),
        ({"target": "wet,town"}, r"the target 'town' has 4 classes \('k', 'l', 'm', 'n'\); of sev"),
        ({"target": "wet,wet"}, "got the target 'wet,wet', which names a column twice; name each"),
        ({"target": ["wet", "wet"]}, "which names a column twice"),
        ({"target": "wet,same"}, "the target 'same' is always '1'; at least two"),
        (
            {"target": "wet,dark", "kind": "binary"},
            "got the kind binary for 2 targets .wet, dark.; us",
        ),
        (
            {"target": "wet", "kind": "multilabel"},
            "multilabel, which is for several targets, and th",
        ),
        ({"target": "rain", "kind": "multitarget"}, "multitarget, which is for several targets"),
        (
            {"target": "wet,town", "kind": "multilabel"},
            "'town' has 4 classes .*each label needs two",
        ),
        (
            {"target": "rain,town", "kind": "multitarget"},
            "'town' is text such as 'k'; name targets o",
        ),
        ({"target": "wet,dark", "kind": "sequence"}, "which is for arrays with a model of yours"),
        (
            {"target": "wet", "kind": "dense"},
            "the kind dense, which is for arrays .* this is table",
        ),
        ({"target": "wet,dark", "kind": "multilable"}, "did you mean 'multilabel'"),
        (
            {"target": "wet,dark", "read": ReadOptions(rare="drop")},
            "which is for one target of clas",
        ),
        (
            {"target": "rain,wind", "read": ReadOptions(positive="1")},
            "is quantities; it is for two",
        ),
        (
            {"target": "wet,dark", "read": ReadOptions(positive="no")},
            "the target 'dark' has 'False', 'T",
        ),
        (
            {"target": "wet,dark", "read": ReadOptions(ignore=["dark"])},
            "the column 'dark' is the targ",
        ),
        ({"data": (X, np.eye(3)[np.arange(ROWS) % 3])}, "take the argmax if they are one-hot"),
        (
            {"data": (X, np.zeros((ROWS, 2, 2)))},
            "a value at each pixel .the kind dense_regression., for which p",
        ),
        ({"data": (X, LABELS[:50])}, "got 60 rows of inputs and 50 targets"),
        ({"data": (pd.DataFrame(X), LABELS[:50])}, "got 60 rows of inputs and 50 targets"),
        ({"data": (X, np.column_stack([LABELS, np.ones(ROWS)]))}, "'target_3' is always '1'"),
    ],
)
def test_what_is_refused(task, message):
    town = np.array(list("klmn"))[np.arange(ROWS) % 4]
    with pytest.raises((DataError, TaskError), match=message) as caught:
        load(Task(**{"data": table().assign(same=1, town=town), **task}))
    assert "\n" not in str(caught.value)
