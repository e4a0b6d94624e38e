"""Temperatures: found where models are too sure or not sure enough, kept where both halves gain."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import plain, problem
from sklearn.metrics import f1_score
from torch import Tensor

import pawl
from pawl.data.types import Examples
from pawl.deployment import Bundle
from pawl.deployment.predictions import unshifted
from pawl.ensembling import OutOfFold
from pawl.ensembling.calibrating import calibrated, temperature_of
from pawl.evidence import Arm, Blend, Single
from pawl.evidence.arms import from_dict, to_dict
from pawl.models import tempered, threshold_of
from pawl.recipe import Recipe
from pawl.training.metrics import make_objective
from pawl.training.trained import blended, untrained

ONE = plain()
TWO = ONE.with_("width", factor=2.0)


def known(probabilities: Tensor, targets: Tensor, metric: str = "log_loss") -> OutOfFold:
    """Out-of-fold predictions of two recipes, of which the second's are the first's."""
    objective = make_objective(metric, None, "multiclass")
    told = SimpleNamespace(objective=objective, schema=SimpleNamespace(kind="multiclass"))
    pairs: Any = SimpleNamespace(session=SimpleNamespace(problem=told))
    both = torch.stack([probabilities, probabilities]).unsqueeze(1)
    rows = torch.arange(len(targets)).unsqueeze(0)
    return OutOfFold((ONE, TWO), both, targets.unsqueeze(0), pairs, rows)


def drawn(temperature: float, rows: int = 2000) -> OutOfFold:
    """Targets drawn by probabilities, which are then made more sure than they should be."""
    generator = torch.Generator().manual_seed(1)
    right = (2 * torch.randn(rows, 3, generator=generator)).softmax(-1)
    targets = torch.multinomial(right, 1, generator=generator).flatten()
    return known(tempered(right, 1 / temperature), targets)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("arm", [Single(ONE), Blend((ONE, TWO), (0.75, 0.25))])
def test_a_temperature_is_found(temperature: float, arm: Arm) -> None:
    found = drawn(temperature)
    got = calibrated(found, arm)
    assert isinstance(got, Blend)
    assert got.temperature == pytest.approx(temperature, rel=0.1)
    assert float(found.score(found.of_arm(got))) > float(found.score(found.of_arm(arm)))
    assert got.unadjusted == arm
    assert got.id != arm.id
    assert from_dict(to_dict(got)) == got


def test_where_there_is_nothing_to_gain_an_arm_stays() -> None:
    sure = drawn(2.0)
    assert calibrated(known(sure.predictions[0, 0], sure.targets[0], "accuracy"), Single(ONE)) == (
        Single(ONE)
    )
    kept = [calibrated(drawn(1.0, rows), Single(ONE)) for rows in (40, 100, 300, 1000)]
    temperatures = [arm.temperature for arm in kept if isinstance(arm, Blend)]
    assert len(temperatures) < 4
    assert all(0.8 < each < 1.25 for each in temperatures)


def rare(rows: int = 3000) -> OutOfFold:
    """Two classes of which the second is rare, and never the likelier one for most of its rows."""
    generator = torch.Generator().manual_seed(3)
    second = torch.sigmoid(1.2 * torch.randn(rows, generator=generator) - 2.2)
    targets = (torch.rand(rows, generator=generator) < second).long()
    both = torch.stack([1.0 - second, second], -1)
    found = known(both, targets, "f1")
    found.pairs.session.problem.schema.kind = "binary"
    return found


def test_a_threshold_is_found_where_the_metric_asks_for_one() -> None:
    found = rare()
    got = calibrated(found, Single(ONE))
    assert isinstance(got, Blend)
    assert (got.temperature, got.unadjusted) == (1.0, Single(ONE))
    assert 0.1 < threshold_of(got.shift) < 0.35  # of rates alike, half of the best F1
    scores = [float(found.score(found.of_arm(arm))) for arm in (Single(ONE), got)]
    truth, p = found.targets[0].numpy(), found.predictions[0, 0, :, 1].numpy()
    assert scores[0] == pytest.approx(f1_score(truth, p > 0.5))
    assert scores[1] == pytest.approx(f1_score(truth, p > threshold_of(got.shift)))
    assert scores[1] > scores[0] + 0.05
    assert from_dict(to_dict(got)) == got
    assert got.id != Single(ONE).id


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(-3.0, 3.0))
def test_a_shift_moves_the_threshold_and_can_be_taken_back(seed: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(50, 2, generator=generator, dtype=torch.float64).softmax(-1)
    got = tempered(p, 1.0, shift)
    near = (p[:, 1] - threshold_of(shift)).abs() < 1e-9
    assert torch.equal((got[:, 1] > 0.5) | near, (p[:, 1] > threshold_of(shift)) | near)
    np.testing.assert_allclose(unshifted(got.numpy(), shift), p.numpy(), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.25, 4.0))
def test_tempering_keeps_the_order_and_can_be_taken_back(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(20, 4, generator=generator, dtype=torch.float64).softmax(-1)
    got = tempered(p, temperature)
    torch.testing.assert_close(got.sum(-1), torch.ones(20, dtype=torch.float64))
    assert torch.equal(got.argsort(-1), p.argsort(-1))
    torch.testing.assert_close(tempered(got, 1 / temperature), p)


def test_the_edges_of_the_range_hold() -> None:
    always = torch.tensor([[[0.6, 0.4]] * 8])
    right = torch.zeros(8, dtype=torch.int64)
    score = lambda p: p.log()[0, torch.arange(8), right].mean()  # noqa: E731
    assert temperature_of(always, score) == pytest.approx(0.25, rel=1e-3)


def test_the_graph_tempers_as_the_module_does() -> None:
    one = problem("table")
    rows = torch.arange(96)
    each = [untrained(one, recipe, 1, rows) for recipe in (ONE, TWO)]
    pair = blended(each, (0.25, 0.75), 1.7)
    plain_mean = blended(each, (0.25, 0.75))
    device = torch.device("cpu")
    wanted = tempered(plain_mean.predict(one.examples, device), 1.7)
    torch.testing.assert_close(pair.predict(one.examples, device), wanted)
    copies = blended([pair, pair])
    torch.testing.assert_close(copies.predict(one.examples, device), wanted)
    shifted = blended(each, (0.25, 0.75), None, -1.2)
    wanted = tempered(plain_mean.predict(one.examples, device), 1.0, -1.2)
    torch.testing.assert_close(shifted.predict(one.examples, device), wanted)
    for model in (pair, blended([each[0]], (1.0,), 0.6), shifted):
        graph = model.graph(Examples(one.examples.take(torch.arange(4)).inputs, None))
        session = onnxruntime.InferenceSession(graph)
        for count in (1, 50):
            inputs = {k: x[:count].numpy() for k, x in one.examples.inputs.items()}
            (got,) = session.run(None, inputs)
            mine = model.predict(one.examples.take(torch.arange(count)), device)
            np.testing.assert_allclose(got, mine.numpy(), atol=1e-5)


def test_a_campaign_delivers_what_it_tempered(tmp_path: Path) -> None:
    """Neighbors of one row each are far too sure; so is whatever is blended of them alone."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3)).astype(np.float32)
    targets = (x[:, 0] + 1.5 * random.normal(size=400) > 0).astype(int) + (x[:, 1] > 0.5)
    result = pawl.optimize(
        (x, targets), trials=16, metric="log_loss", families=["trees"], epochs=2, average=2,
        out=tmp_path / "out", baseline=Recipe.of(extra_trees={"trees": 10}), executor="inline",
    )  # fmt: skip
    content = result.summary.parts["ensemble"]
    assert content["temperature"] != 1.0
    assert content["calibration"] is not None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "temperature" in page
    assert isinstance(result.arm, Blend)
    module = Bundle.open(tmp_path / "out" / "bundle").module()  # checked against the graph
    assert float(module.temperature) == pytest.approx(result.arm.temperature)


def test_a_campaign_delivers_the_threshold_that_f1_is_best_with(tmp_path: Path) -> None:
    """One positive in eight, hard to tell: no row is likelier positive than not for most models."""
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 3)).astype(np.float32)
    targets = np.where(x[:, 0] + 1.5 * random.normal(size=900) > 2.1, "yes", "no")
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(target=targets)
    result = pawl.optimize(
        frame, target="target", trials=16, metric="f1", families=["linear", "neighbors"], epochs=2,
        average=2, out=tmp_path / "out", baseline=Recipe.of(standardize={}, linear={}),
        executor="inline",
    )  # fmt: skip
    assert isinstance(result.arm, Blend)
    threshold = result.summary.parts["ensemble"]["threshold"]
    assert threshold == pytest.approx(threshold_of(result.arm.shift))
    assert threshold < 0.45
    assert "from which on" in (tmp_path / "out" / "report.html").read_text()
    predicted = result.predict(frame.drop(columns="target"))
    likely = predicted["p_yes"] > threshold
    assert (likely == (predicted["prediction"] == "yes")).all()
    assert (predicted["p_yes"] < 0.5)[predicted["prediction"] == "yes"].any()
    module = Bundle.open(tmp_path / "out" / "bundle").module()
    assert float(module.shift) == pytest.approx(result.arm.shift)
