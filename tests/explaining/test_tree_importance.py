"""What trees of a bundle look at: known functions, columns grouped back, checks that fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained import rows_of, schema_of

from pawl.explaining.attributions import attribute
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import subject_of
from pawl.explaining.result import TreeImportance
from pawl.explaining.subject import Subject, taken
from pawl.explaining.trees import forests_of, tree_importances
from pawl.models import Averaged, Deployed, Encoder, Learned, Trees
from pawl.models.front import Front
from pawl.techniques.trees.lightgbm import trees_of


def rows(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, 4)), generator.integers(1, 4, (count, 1))


def pipeline(target: np.ndarray, kind: str = "regression", seed: int = 0) -> Deployed:
    lightgbm = pytest.importorskip("lightgbm")
    schema = schema_of("abcdE", kind)
    x, codes = rows()
    encoder = Encoder(schema.inputs, one_hot=False)
    inputs = rows_of(x, codes).inputs
    encoder.fit(inputs, torch.from_numpy(target))
    parameters = {"verbosity": -1, "num_leaves": 8, "num_threads": 1, "seed": seed}
    if kind == "binary":
        parameters["objective"] = "binary"
    booster = lightgbm.train(parameters, lightgbm.Dataset(encoder(inputs).numpy(), target), 20)
    trees = Trees(1)
    trees.grow(trees_of(booster.model_to_string(), 1), torch.zeros(1))
    return Deployed(
        schema, Front(()), Learned(encoder, trees, "identity"), torch.tensor(5.0), torch.tensor(2.0)
    )


def found_of(model: Deployed | Averaged, kind: str = "regression") -> list[TreeImportance] | str:
    x, codes = rows()
    inputs = rows_of(x, codes).inputs
    subject = subject_of(Subject(schema_of("abcdE", kind), lambda _: np.zeros(0)), model)
    some = taken(inputs, np.arange(6))
    attributed = attribute(subject, some, inputs, seed=0, effort=Effort())
    return tree_importances(subject, model, inputs, attributed, seed=0)


def test_of_values_they_are_the_models_own_shapley_values() -> None:
    x, codes = rows()
    target = 2 * x[:, 0] + x[:, 1] * (codes[:, 0] == 2) + 3.0 * (codes[:, 0] == 3)
    model = pipeline(target)
    found = found_of(model)
    assert isinstance(found, list)
    (told,) = found
    assert told.units == "the target's units"
    assert (told.trees, told.share) == (20, 1.0)
    assert {each.name for each in told.columns[:2]} == {"a", "E"}
    by_name = {each.name: each for each in told.columns}
    assert sum(each.gain for each in told.columns) == pytest.approx(1.0)
    assert by_name["a"].gain > by_name["c"].gain
    assert all(check.passed for check in told.checks), told.checks
    assert {check.name for check in told.checks} == {"completeness", "weights", "agreement"}
    agreement = next(check for check in told.checks if check.name == "agreement")
    assert agreement.value is not None
    assert agreement.value > 0.85
    inputs = rows_of(x, codes).inputs
    subject = subject_of(Subject(schema_of("abcdE"), lambda _: np.zeros(0)), model)
    attributed = attribute(subject, taken(inputs, np.arange(60)), inputs, seed=0, effort=Effort())
    sizes = np.abs(attributed.values()).mean(0)
    for place, feature in enumerate(subject.features):
        assert by_name[feature.name].shapley == pytest.approx(sizes[place], rel=1e-3, abs=1e-5)


def test_of_classes_they_speak_in_log_odds_and_blends_share() -> None:
    x, codes = rows()
    target = ((x[:, 0] + x[:, 1]) > 0) * 1.0
    one, two = pipeline(target, "binary"), pipeline(target, "binary", seed=1)
    found = found_of(Averaged([one, two], [0.75, 0.25]), "binary")
    assert isinstance(found, list)
    (told,) = found
    assert (told.units, told.trees, told.share) == ("log odds", 40, 1.0)
    assert {each.name for each in told.columns[:2]} == {"a", "b"}
    assert codes.shape == (400, 1)


def test_where_there_are_none_it_is_said() -> None:
    class Body(torch.nn.Module):
        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return inputs["numeric"].sum(1, keepdim=True)

    schema = schema_of("abcdE")
    plain = Deployed(schema, Front(()), Body(), torch.tensor(0.0), torch.tensor(1.0))
    assert forests_of(plain) == []
    assert found_of(plain) == "the bundle has no trees"
