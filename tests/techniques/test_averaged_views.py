"""Predictions over several views of an image."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem
from torch import Tensor, nn

from pawl.data import load
from pawl.deployment import predict
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.models import Views
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.trained import from_outcome


class Corner(nn.Module):
    """Reads the first image's two upper corners, so that what is seen is known."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["x"]
        return torch.stack([x[:, 0, 0, 0], x[:, 0, 0, -1]], 1) + inputs["n"].unsqueeze(1)


@pytest.mark.parametrize(
    ("mirrored", "shifted", "expected"),
    [
        (True, False, [(0 + 2) / 2, (2 + 0) / 2]),
        # As it is, from below and from the right (4), from outside (0); the last column alike.
        (False, True, [(0 + 4 + 0) / 3, (2 + 0 + 0) / 3]),
        (True, True, [(0 + 4 + 0 + 2 + 0 + 0) / 6, (2 + 0 + 0 + 0 + 4 + 0) / 6]),
    ],
)
def test_views_are_mirrored_and_shifted_by_a_pixel(
    mirrored: bool, shifted: bool, expected: list[float]
) -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3).repeat(2, 1, 1, 1)
    views = Views(Corner(), mirrored=mirrored, shifted=shifted).eval()
    found = views({"x": x, "n": torch.tensor([0.0, 10.0])})
    torch.testing.assert_close(found, torch.tensor([expected, [e + 10 for e in expected]]))
    assert torch.equal(views.train()({"x": x, "n": torch.zeros(2)}), torch.tensor([[0.0, 2.0]] * 2))


def test_training_is_as_without_and_predictions_are_the_mean() -> None:
    recipe = plain().without("standardize").with_("normalize")
    both = [
        Population(problem("images"), [member(r)], FusedStepper())
        for r in (recipe, recipe.with_("averaged_views", views="mirrored"))
    ]
    losses = [one.advance(6) for one in both]
    assert torch.equal(*losses)
    assert torch.equal(*(one.state.weights for one in both))
    alone, averaged = both
    examples = alone.problem.examples
    inputs = {name: x.flip(-1) for name, x in examples.inputs.items()}
    outputs = [
        torch.log(alone.predict(type(examples)(seen, examples.targets), ALL_ROWS))
        for seen in (examples.inputs, inputs)
    ]
    expected = torch.softmax(sum(outputs) / 2, dim=-1)
    torch.testing.assert_close(averaged.predict(examples, ALL_ROWS), expected, rtol=1e-4, atol=1e-5)


def test_the_graph_has_the_views_inside(tmp_path: Path) -> None:
    data = load(Task(data=images()))
    recipe = plain().with_("averaged_views", views="both").with_("mixed_precision")
    jobs = [Job(member(recipe, epochs=2), keep=True)]
    chosen = Plan(TrainingWay("serial", 1), "for the test")
    (result,) = train_all(problem("images"), jobs, lambda _: chosen)
    trained = from_outcome(problem("images"), result.outcome)
    graph = trained.graph(data.development.take(torch.arange(4)))
    for count in (1, 5, 33):
        rows = data.development.take(torch.arange(count))
        found = torch.as_tensor(predict(graph, rows))
        expected = trained.predict(rows, torch.device("cpu"))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_it_refuses_what_has_no_images_or_targets_on_their_pixels() -> None:
    from pawl.techniques import technique

    found = technique("averaged_views")
    for kind, reason in itertools.chain([("table", "no images"), ("sequences", "no images")]):
        assert reason in str(found.fits(problem(kind).facts()))
