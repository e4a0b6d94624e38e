"""Trees that correct a mean: found where one model is right here and another there, and only there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from made_up import made_up
from problems import frame, plain, problem
from torch import Tensor

from pawl.data import load
from pawl.data.types import Examples
from pawl.deployment import write_bundle
from pawl.deployment.export import check_parity
from pawl.ensembling import OutOfFold, candidates
from pawl.ensembling.stacking import corrected, fitted
from pawl.evidence import Arm, Blend, ConfirmationEffort, Single, Stacked, confirm
from pawl.evidence.arms import from_dict, lead, to_dict, to_toml
from pawl.ledger import Ledger
from pawl.models import Averaged, Corrected
from pawl.report.parts.ensemble import gather, section
from pawl.task import Task
from pawl.training.metrics import make_objective
from pawl.training.trained import blended, untrained

ONE = plain()
TWO = ONE.with_("width", factor=2.0)
BOTH = Blend((ONE, TWO), (0.5, 0.5))
CPU = torch.device("cpu")


def known(predictions: Tensor, targets: Tensor, kind: str, passes: int = 1) -> OutOfFold:
    """Out-of-fold predictions `[2, R, ...]` of two recipes, the same in each pass."""
    told = SimpleNamespace(
        objective=make_objective(None, None, kind),  # type: ignore[arg-type]
        schema=SimpleNamespace(kind=kind),
    )
    pairs: Any = SimpleNamespace(session=SimpleNamespace(problem=told))
    each = torch.stack([predictions] * passes, 1)
    units = torch.stack([torch.arange(len(targets))] * passes)
    return OutOfFold((ONE, TWO), each, torch.stack([targets] * passes), pairs, units)


def by_turns(rows: int = 600) -> tuple[Tensor, Tensor]:
    """The first model is right where it says something above 0, the second elsewhere."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(rows, generator=generator)
    noise = 0.4 * torch.randn(2, rows, generator=generator)
    first = truth + torch.where(truth > 0, 0.1, 1.0) * noise[0] - 0.8 * (truth < 0)
    second = truth + torch.where(truth > 0, 1.0, 0.1) * noise[1] + 0.8 * (truth > 0)
    return torch.stack([first, second]), truth


def stack(each: Tensor, targets: Tensor, classes: int = 0, rounds: int = 20) -> Stacked:
    whole = Corrected((0.5, 0.5), classes)
    whole.trees.grow(
        fitted(each, targets, (0.5, 0.5), classes, rounds), torch.zeros(max(1, classes))
    )
    return Stacked((ONE, TWO), (0.5, 0.5), classes, whole.written())


@pytest.mark.parametrize("passes", [1, 2])
def test_models_that_are_right_by_turns_are_corrected(passes: int) -> None:
    found = known(*by_turns(), "regression", passes)
    arm = corrected(found, BOTH)
    assert isinstance(arm, Stacked)
    errors = [-float(found.score(found.of_arm(each))) for each in (arm, BOTH)]
    assert errors[0] < 0.7 * errors[1]
    assert arm.unadjusted == BOTH
    fresh, truth = (x[..., 300:] for x in by_turns(900))  # other rows, drawn alike
    gone = [(each.combined(list(fresh)) - truth).square().mean() for each in (arm, BOTH)]
    assert gone[0] < gone[1]


def test_classes_are_corrected_too() -> None:
    each, truth = by_turns(1500)
    for count, kind in ((2, "binary"), (3, "multiclass")):
        edges = truth.quantile(torch.linspace(0, 1, count + 1)[1:-1])
        targets = torch.bucketize(truth, edges)
        middles = torch.linspace(-1.0, 1.0, count)
        likely = (-2.0 * (each.unsqueeze(-1) - middles).square()).softmax(-1)
        found = known(likely, targets, kind)
        arm = stack(found.predictions[:, 0], targets, count)
        got = found.of_arm(arm)
        assert got.shape == found.predictions.shape[1:]
        torch.testing.assert_close(got.sum(-1), torch.ones(got.shape[:-1]))
        assert float(found.loss(got)) < float(found.loss(found.of_arm(BOTH)))


def test_what_leaves_nothing_over_is_not_corrected() -> None:
    """The target is the models' mean and noise."""
    for seed in range(6):
        each = torch.randn(3, 400, generator=torch.Generator().manual_seed(seed))
        arm = corrected(known(each[:2], each[:2].mean(0) + each[2], "regression"), BOTH)
        assert arm == BOTH, seed


def test_the_option_tries_it_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    racing: Any = SimpleNamespace(mean=lambda recipe: float(recipe == ONE))
    found = known(*by_turns(), "regression")
    monkeypatch.setattr(OutOfFold, "of", lambda *_: found)
    arms = candidates(racing, [ONE, TWO], "stacked")
    assert isinstance(arms[0], Stacked)
    assert arms[1:] == [Single(ONE), Single(TWO)]
    assert not any(isinstance(arm, Stacked) for arm in candidates(racing, [ONE, TWO]))


@pytest.mark.parametrize(("kind", "arm", "rows"), [
    ("regression", Single(ONE), 600), ("regression", BOTH, 150), ("multitarget", BOTH, 600),
])  # fmt: skip
def test_where_there_are_no_trees_the_arm_stays(kind: str, arm: Arm, rows: int) -> None:
    each, truth = by_turns(rows)
    if kind == "multitarget":
        each, truth = each.unsqueeze(-1), truth.unsqueeze(-1)
    assert corrected(known(each, truth, kind), arm) == arm


def test_a_constant_stays_what_it_is() -> None:
    arm = stack(torch.full((2, 100), 3.0), torch.full((100,), 3.0))
    assert arm.combined([torch.full((5,), 3.0)] * 2).tolist() == [3.0] * 5
    shifted = stack(torch.full((2, 100), 3.0), torch.full((100,), 5.0), rounds=5)
    assert shifted.combined([torch.full((2,), 3.0)] * 2).tolist() == pytest.approx([5.0] * 2)


def test_the_correction_by_hand() -> None:
    whole = Corrected((0.75, 0.25), 0)
    each = torch.tensor([[0.0, 4.0], [8.0, 0.0]])
    assert whole(each).tolist() == [2.0, 3.0]  # a fresh one adds nothing
    assert whole.features(each).tolist() == [[0.0, 8.0], [4.0, 0.0]]
    whole.trees.base = torch.tensor([1.0])
    assert whole(each.unsqueeze(1)).tolist() == [[3.0, 4.0]]
    classes = Corrected((0.5, 0.5), 2)
    likely = torch.tensor([[[0.2, 0.8]], [[0.6, 0.4]]])
    torch.testing.assert_close(classes(likely), likely.mean(0))
    assert classes.features(likely).tolist() == [pytest.approx([0.8, 0.4])]
    classes.trees.base = torch.tensor([0.0, 2.0])
    wanted = (torch.tensor([[0.4, 0.6]]).log() + torch.tensor([0.0, 2.0])).softmax(-1)
    torch.testing.assert_close(classes(likely), wanted)


def test_it_is_an_arm_like_others() -> None:
    arm = stack(*by_turns())
    assert from_dict(to_dict(arm)) == arm
    assert from_dict(to_dict(arm)).id == arm.id != stack(*by_turns(), rounds=5).id
    assert [training.recipe for training in arm.trainings] == [ONE, TWO]
    assert lead(arm) == ONE
    assert len(to_toml(arm)) < 12_000
    with pytest.raises(ValueError, match="give one each"):
        Stacked((ONE,), (0.5, 0.5), 0, arm.trees)
    with pytest.raises(ValueError, match="cannot be read"):
        Stacked((ONE,), (1.0,), 0, arm.trees[:40])


@pytest.mark.parametrize("kind", ["regression", "table"])
def test_the_graph_says_what_the_module_does(kind: str) -> None:
    one, rows = problem(kind), torch.arange(96)
    pairs = [[untrained(one, recipe, seed, rows) for recipe in (ONE, TWO)] for seed in (1, 2)]
    predicted = torch.stack([model.predict(one.examples, CPU) for model in pairs[0]])
    arm = stack(predicted, one.targets, 2 if kind == "table" else 0)
    models = [arm.predictor(each) for each in pairs]
    wanted = arm.combined(list(predicted))
    torch.testing.assert_close(models[0].predict(one.examples, CPU), wanted)
    whole = blended(models)  # the mean of each recipe's models, corrected once
    means = torch.stack(
        [torch.stack([m.predict(one.examples, CPU) for m in each]) for each in pairs]
    ).mean(0)
    torch.testing.assert_close(whole.predict(one.examples, CPU), arm.combined(list(means)))
    assert [part.share for part in whole.parts] == [0.25] * 4
    graph = whole.graph(Examples(one.examples.take(torch.arange(4)).inputs, None))
    assert check_parity(whole, graph, one.examples) < 1e-4
    session = onnxruntime.InferenceSession(graph)
    for count in (1, 50):
        inputs = {k: x[:count].numpy() for k, x in one.examples.inputs.items()}
        (got,) = session.run(None, inputs)
        mine = whole.predict(one.examples.take(torch.arange(count)), CPU)
        np.testing.assert_allclose(got, mine.numpy(), rtol=1e-4, atol=1e-5)


def test_a_bundle_holds_it_and_is_rebuilt_without_rows(tmp_path: Path) -> None:
    data = load(Task(data=frame()))
    one, rows = problem("table"), torch.arange(96)
    each = [untrained(one, recipe, 1, rows) for recipe in (ONE, TWO)]
    predicted = torch.stack([model.predict(one.examples, CPU) for model in each])
    arm = stack(predicted, one.targets, 2)
    whole = blended([arm.predictor(each), arm.predictor(each)])
    with Ledger.create(tmp_path / "out", {}) as ledger:
        bundle = write_bundle(
            ledger, schema=data.schema, graph=whole.graph(data.development.take(rows[:4])),
            predictor=whole, recipe=to_toml(arm), task={}, card="",
        )  # fmt: skip
    module = bundle.module()  # checked against the graph
    assert isinstance(module, Averaged)
    assert module.corrected is not None
    assert module.corrected.written() == arm.trees
    assert module.groups == (0, 1, 0, 1)
    read = bundle.read(frame())
    with torch.no_grad():
        got = module(*read.inputs.values()).numpy()
    np.testing.assert_allclose(got, bundle.predict_raw(read), rtol=1e-3, atol=1e-4)


def test_the_report_says_that_trees_correct_it(tmp_path: Path) -> None:
    arm = stack(*by_turns())
    with made_up(tmp_path, lambda *_: 1.0) as session:
        found = confirm(session, ONE, arm, ConfirmationEffort(False, (5,)))
        outcome: Any = SimpleNamespace(confirmation=found, baseline=ONE)
        content = gather(session, outcome)
    assert found.calibration is not None
    assert content is not None
    assert content.trees == 20
    assert [member.share for member in content.members] == [0.5, 0.5]
    assert all(member.effect and member.over for member in content.members), "told of their mean"
    summary: Any = SimpleNamespace(metric="mae", task=SimpleNamespace(classes=[]))
    assert "So were the 20 small trees that correct the mean (" in section(content, summary).lead
