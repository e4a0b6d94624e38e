"""What is explained: columns as they were read, and outputs as people see them."""

from __future__ import annotations

import numpy as np
import torch
from explained import probabilities, rows_of, schema_of, subject_of

from pawl.data.types import Column, Examples, InputSpec
from pawl.explaining.gradients import unshifted_values
from pawl.explaining.subject import Subject, features_of, taken


def test_a_date_is_one_column_of_all_its_numbers() -> None:
    columns = (
        Column(name="a", kind="numeric"),
        Column(name="day", kind="date"),
        Column(name="time", kind="date"),
        Column(name="b", kind="boolean"),
        Column(name="c", kind="categorical", categories=("x",)),
    )
    parts = ("day:days", "day:month", "day:weekday")
    more = ("time:days", "time:month", "time:weekday", "time:hour")
    numeric = InputSpec(
        name="numeric", shape=(9,), dtype="float32", features=("a", *parts, *more, "b")
    )
    schema = schema_of("a").model_copy(update={"columns": columns, "inputs": (numeric,)})
    found = {each.name: each for each in features_of(schema)}
    assert found["day"].at == (1, 2, 3)
    assert found["time"].at == (4, 5, 6, 7)
    assert found["b"].at == (8,)
    assert (found["c"].input, found["c"].at) == ("categorical", (0,))
    inputs = {"numeric": torch.zeros(2, 9)}
    inputs["numeric"][1] = torch.arange(9.0)
    found["day"].put(inputs, taken(inputs, [1, 1]))
    assert inputs["numeric"][0].tolist() == [0, 1, 2, 3, 0, 0, 0, 0, 0]
    assert found["day"].text(0.0) == "1970-01-01"
    assert found["b"].text(1.0) == "yes"
    assert found["c"].text(1.0) == "x"
    assert found["c"].text(float("nan")) == "unknown"
    assert found["a"].text(float("nan")) == "missing"


def test_a_masked_change_takes_only_those_rows() -> None:
    (a, b) = features_of(schema_of("aB"))
    inputs = rows_of(np.zeros((3, 1)), np.array([[1], [1], [1]])).inputs
    others = rows_of(np.ones((3, 1)), np.array([[2], [3], [2]])).inputs
    mask = torch.tensor([False, True, True])
    a.where(mask, inputs, others)
    b.where(mask, inputs, others)
    assert inputs["numeric"].flatten().tolist() == [0, 1, 1]
    assert inputs["categorical"].flatten().tolist() == [1, 3, 2]


def test_probabilities_are_explained_without_a_threshold_s_shift() -> None:
    p, shift = np.array([0.1, 0.4, 0.8]), 0.7
    shifted = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + shift)))

    def predict(_: Examples) -> np.ndarray:
        return probabilities(shifted).astype(np.float32)

    subject = Subject(schema_of("a", "binary"), predict, shift)
    np.testing.assert_allclose(subject.values(rows_of(np.zeros((3, 1))).inputs)[:, 1], p, atol=1e-6)
    shown = unshifted_values(shift)(torch.from_numpy(probabilities(shifted)))
    np.testing.assert_allclose(shown[:, 1].numpy(), p, atol=1e-6)


def test_the_output_explained_is_the_second_of_two_and_the_likeliest_of_several() -> None:
    two = subject_of("a", lambda x: x, "binary")
    assert two.leading(probabilities(np.array([0.1, 0.9]))).tolist() == [1, 1]
    three = subject_of("a", lambda x: x, "multiclass")
    assert three.leading(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])).tolist() == [1, 0]
    assert three.outputs == ("a", "b", "c")
    assert subject_of("a", lambda x: x).leading(np.zeros((2, 1))).tolist() == [0, 0]
