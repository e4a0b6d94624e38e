"""Modalities: what data is of which, and one of a user's own from end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from problems import problem
from torch import nn

import pawl
from pawl.data import ModelSpec, load
from pawl.data.types import Schema
from pawl.errors import TaskError
from pawl.modalities import Images, Tensors, modality_of, register_modality, unregister_modality
from pawl.models import Adapter, ImageNet, SequenceNet, TabularNet
from pawl.recipe import Recipe
from pawl.search import baseline, starts
from pawl.techniques import Facts, refusal, technique
from pawl.training.problem import Problem


def test_what_the_inputs_are_decides() -> None:
    assert modality_of(problem("table").schema).name == "table"
    assert modality_of(problem("images").schema).name == "image"
    assert isinstance(problem("images").builder(0), ImageNet)
    assert isinstance(problem("table").builder(0), TabularNet)
    for kind, name, encoder in (
        ("tokens", "text", "bag"),
        ("sequences", "sequence", "convolution"),
    ):
        assert modality_of(problem(kind).schema).name == name
        net = problem(kind).builder(0)
        assert isinstance(net, SequenceNet)
        assert net.shape.encoder == encoder
    assert not isinstance(
        problem("codes").builder(0), SequenceNet
    )  # numbers, for all that is known


@pytest.mark.parametrize("kind", ["tokens", "sequences"])
def test_what_reads_steps_is_started_from_and_fits(kind: str) -> None:
    facts = problem(kind).facts()
    start = baseline(facts)
    found = starts(start, facts)
    kinds = {recipe.settings("encoder").kind for recipe in found if "encoder" in recipe}
    assert len(found) >= 5
    assert {"recurrent", "attention"} <= kinds
    assert ("token_dropout" in found[0]) == (kind == "tokens")
    learners = modality_of(facts.schema).learners(facts)
    reasons = [refusal(technique(r.learner.name), facts) for r in learners if r.learner]
    if kind == "tokens":
        assert learners[0].learner is not None
        assert learners[0].learner.name == "linear"
        assert not any(reasons)
    else:
        assert all(reason and "inputs with axes" in reason for reason in reasons)


class Waves(Tensors):
    """Rows of channels over time, for a network of one convolution."""

    name = "waves"

    def takes(self, schema: Schema) -> bool:
        return [len(spec.shape) for spec in schema.inputs] == [2]

    def net(self, spec: ModelSpec) -> nn.Module:
        channels, _ = spec.inputs[0].shape
        return nn.Sequential(
            nn.Conv1d(channels, 8, 9),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(8, spec.num_outputs),
        )

    def baseline(self, facts: Facts) -> Recipe:
        return super().baseline(facts).with_("adamw", learning_rate=5e-3)

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        return [start.with_("ema"), start, start.with_("depth", layers=3)]


def waves(rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """A bump somewhere, of one of two widths, in noise."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, rows)
    places = generator.integers(8, 40, rows)
    time = np.arange(48)
    widths = np.where(targets, 4.0, 1.0)
    bumps = 3 * np.exp(-(((time - places[:, None]) / widths[:, None]) ** 2))
    inputs = (bumps + 0.3 * generator.normal(size=bumps.shape))[:, None].astype(np.float32)
    return inputs, targets


@pytest.fixture
def own() -> Iterator[None]:
    register_modality(Waves())
    yield
    unregister_modality("waves")


def test_a_modality_of_ones_own_gives_network_baseline_and_starts(
    own: None, tmp_path: Path
) -> None:
    inputs, targets = waves()
    result = pawl.optimize(
        (inputs, targets), trials=6, epochs=6, seed=1, out=tmp_path / "out", executor="inline"
    )
    table = result.predict(inputs[:20])
    share = np.mean(table["prediction"].astype(int).to_numpy() == targets[:20])
    assert share >= 0.8  # half of them by chance


def test_its_network_is_called_as_a_users_is_and_its_starts_fit(own: None) -> None:
    task = pawl.Task(data=waves())
    found = Problem.of(task, load(task))
    assert isinstance(found.builder(0), Adapter)
    facts = found.facts()
    start = baseline(facts)
    assert start.to_dict()["adamw"]["learning_rate"] == 5e-3
    # The start itself, and what does not fit its network, are left out.
    assert list(starts(start, facts)) == [start.with_("ema")]


def test_the_last_registered_is_asked_first_and_names_are_unique(own: None) -> None:
    class Other(Waves):
        name = "other"

    schema = load(pawl.Task(data=waves(40))).schema
    assert modality_of(schema).name == "waves"
    register_modality(Other())
    try:
        assert modality_of(schema).name == "other"
        with pytest.raises(TaskError, match="a modality named 'other' exists already"):
            register_modality(Other())
    finally:
        unregister_modality("other")
    assert modality_of(schema).name == "waves"
    with pytest.raises(TaskError, match="a modality named 'image' exists already"):
        register_modality(Images())
    with pytest.raises(TaskError, match="give an instance of a class made from"):
        register_modality(Waves)  # type: ignore[arg-type]
    unregister_modality("image")
    assert modality_of(problem("images").schema).name == "image"
