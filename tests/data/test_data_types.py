"""The room's values and its face."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import pawl.data
from pawl.data import Examples, InputSpec, ModelSpec, Schema, load
from pawl.errors import TaskError
from pawl.task import Task


def test_the_face_matches_its_list():
    assert sorted(pawl.data.__all__) == sorted(
        [
            *("Blocks", "Column", "Examples", "InputSpec", "Inputs", "LoadedData", "ModelSpec"),
            *("fold_rows", "load", "load_module_task", "read_like", "register_reader"),
            *("Schema", "resolve_task", "split_rows", "ImageFile", "Reading", "TableStream"),
            *(
                "is_table_file",
                "notes_on_copies",
                "read_csv_like",
                "read_image_files",
                "read_noting",
            ),
        ]
    )
    assert all(getattr(pawl.data, name) is not None for name in pawl.data.__all__)


def test_num_features_of_a_table():
    frame = pd.DataFrame(
        {
            "a": [1.0, np.nan] * 20,
            "b": np.arange(40.0),
            "c": ["x", "y", "z", "z"] * 10,
            "target": [0, 1] * 20,
        }
    )
    schema = load(Task(data=frame)).schema
    spec = ModelSpec(inputs=schema.inputs, num_outputs=schema.num_outputs, kind=schema.kind)
    assert spec.num_features == 2 + 1 + 4
    assert (spec.num_outputs, spec.kind) == (2, "binary")


def test_num_features_of_arrays():
    image = InputSpec(name="image", shape=(3, 4, 5), dtype="uint8")
    assert ModelSpec(inputs=(image,), num_outputs=1, kind="regression").num_features == 60
    number = InputSpec(name="x", shape=(), dtype="float32")
    assert ModelSpec(inputs=(number,), num_outputs=1, kind="regression").num_features == 1
    with pytest.raises(TaskError, match="image, x"):
        _ = ModelSpec(inputs=(image, number), num_outputs=1, kind="regression").num_features


def test_a_schema_survives_json():
    schema = load(Task(data="breast-cancer")).schema
    assert Schema.model_validate_json(schema.model_dump_json()) == schema


def test_examples():
    examples = Examples({"x": torch.arange(4.0)}, torch.arange(4))
    taken = examples.take(torch.tensor([3, 1]))
    assert (len(examples), taken.inputs["x"].tolist(), taken.targets.tolist()) == (
        4,
        [3.0, 1.0],
        [3, 1],
    )
    assert len(examples.to("cpu")) == 4
