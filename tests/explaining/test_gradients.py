"""Explanations by modules, and maps of images: known answers, and tests that fail where they should."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pawl.data.types import Examples, InputSpec, Schema, TargetColumn
from pawl.explaining import overlays
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import (
    expected_gradients,
    grad_cam,
    integrated_gradients,
    scrambled,
    subject_of,
)
from pawl.explaining.pictures import pictures
from pawl.explaining.subject import Subject
from pawl.models import Averaged, Deployed
from pawl.models.front import Front, ToFloat

SIDE = 12


class Bright(nn.Module):
    """Says the second class where the upper left corner is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(1, 2, 3, padding=1)
        self.out = nn.Linear(2 * SIDE * SIDE, 2)
        with torch.no_grad():
            self.smooth.weight.zero_()
            self.smooth.weight[0, 0, 1, 1] = 1 / 255
            self.smooth.weight[1, 0, 1, 1] = -1 / 255
            self.smooth.bias.zero_()
            weights = torch.zeros(2, 2, SIDE, SIDE)
            weights[1, 0, :4, :4] = 0.3
            self.out.weight.copy_(weights.flatten(1))
            self.out.bias.copy_(torch.tensor([0.0, -2.0]))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.out(self.smooth(inputs["image"]).relu().flatten(1))


def schema() -> Schema:
    return Schema(
        source="images", kind="binary", targets=(TargetColumn(name="class", classes=("no", "yes")),),
        inputs=(InputSpec(name="image", shape=(1, SIDE, SIDE), dtype="uint8"),), image_mode="L",
    )  # fmt: skip


def pipeline() -> Deployed:
    return Deployed(schema(), Front((ToFloat(),)), Bright(), torch.zeros(()), torch.ones(()))


def images(count: int = 40) -> Tensor:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 200, (count, 1, SIDE, SIDE))
    pixels[::2, :, :4, :4] += 55
    return torch.from_numpy(pixels.astype(np.uint8))


def subject() -> Subject:
    return subject_of(Subject(schema(), lambda _: np.zeros(0), 0.0), pipeline())


def test_integrated_gradients_of_a_linear_model_are_exact_and_gaps_get_none() -> None:
    weights = torch.tensor([2.0, -1.0, 0.5])

    class Linear(nn.Module):
        names = ("x",)

        def forward(self, x: Tensor) -> Tensor:
            return torch.nan_to_num(x) @ weights

    x = torch.tensor([[1.0, 2.0, torch.nan], [0.0, 1.0, 4.0]])
    found, missed = integrated_gradients(
        Linear(), {"x": x}, "x", torch.ones(3), np.zeros(2, dtype=np.int64)
    )
    expected = torch.nan_to_num(weights * (x - 1.0)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(missed, 0, atol=1e-5)


def test_they_are_complete_for_a_network_and_not_for_a_model_with_steps() -> None:
    rows = {"image": images(4)}
    chosen = np.ones(4, dtype=np.int64)
    baseline = images().float().mean(0)
    found, missed = integrated_gradients(pipeline(), rows, "image", baseline, chosen)
    assert found.shape == (4, 1, SIDE, SIDE)
    assert np.abs(missed).max() < 1e-3
    assert np.abs(found[..., 4:, :]).max() == 0

    class Steps(nn.Module):
        names = ("image",)

        def forward(self, x: Tensor) -> Tensor:
            value = (x.flatten(1)[:, :1] > 100).float() + 0 * x.flatten(1)[:, :1]
            return torch.cat([1 - value, value], 1)

    one = {"image": torch.full((1, 1, SIDE, SIDE), 255, dtype=torch.uint8)}
    _, missed = integrated_gradients(Steps(), one, "image", torch.zeros(1, SIDE, SIDE), chosen[:1])
    assert np.abs(missed).max() > 0.9


def test_expected_gradients_are_the_mean_of_those_from_each_background_row() -> None:
    rows, others, chosen = {"image": images(2)}, images(5).float(), np.ones(2, dtype=np.int64)
    found, missed = expected_gradients(pipeline(), rows, "image", others, chosen, steps=50)
    each = [integrated_gradients(pipeline(), rows, "image", b, chosen)[0] for b in others]
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-6)
    assert np.abs(missed).max() < 1e-3
    whole = pipeline()(images(2))[:, 1] - pipeline()(others)[:, 1].mean()
    np.testing.assert_allclose(found.reshape(2, -1).sum(1), whole.detach(), atol=1e-3)


def test_grad_cam_takes_the_last_layer_with_places_and_the_mean_of_models() -> None:
    rows = {"image": images(1)}
    found = grad_cam(pipeline(), rows, 1)
    assert found is not None
    assert found[1] == "smooth"
    assert found[0].shape == (SIDE, SIDE)
    twice = grad_cam(Averaged([pipeline(), pipeline()], [0.75, 0.25]), rows, 1)
    assert twice is not None
    np.testing.assert_allclose(twice[0], found[0], rtol=1e-5)


def test_shuffled_weights_keep_their_numbers_and_leave_the_model_alone() -> None:
    whole = pipeline()
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    other = scrambled(whole, 0)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(other.state_dict()[name].flatten().sort()[0], tensor.flatten().sort()[0])
    assert not torch.equal(other.body.out.weight, whole.body.out.weight)
    assert torch.equal(scrambled(whole, 0).body.out.weight, other.body.out.weight)


def test_maps_find_the_corner_that_the_model_looks_at() -> None:
    found = pictures(
        subject(), Examples({"image": images()[:6]}, None), {"image": images()}, pipeline(),
        seed=0, effort=Effort(),
    )  # fmt: skip
    assert [each.method for each in found] == ["occlusion", "integrated gradients", "Grad-CAM"]
    for each in found[:2]:
        maps = np.abs(np.array([picture.map for picture in each.pictures]))
        assert maps.shape == (6, SIDE, SIDE)
        assert maps[:, :5, :5].sum() > 0.9 * maps.sum()
        assert {check.name for check in each.checks} >= {"weights", "deletion"}
    assert all(check.passed for check in found[0].checks), found[0].checks
    again = pictures(
        subject(), Examples({"image": images()[:6]}, None), {"image": images()}, pipeline(),
        seed=0, effort=Effort(),
    )  # fmt: skip
    assert again == found


def test_without_modules_or_time_there_is_occlusion_alone() -> None:
    rows = Examples({"image": images()[:3]}, None, ("a.png", "b.png", "c.png"))
    (found,) = pictures(
        subject(), rows, {"image": images()}, None, seed=0, effort=Effort(deadline=0.0)
    )
    assert found.method == "occlusion"
    assert [picture.file for picture in found.pictures] == ["a.png"]
    assert "weights" not in {check.name for check in found.checks}


@pytest.mark.filterwarnings("ignore")
def test_they_are_those_of_captum() -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    whole = pipeline()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in whole.body.parameters():
            weight.copy_(0.01 * torch.randn(weight.shape, generator=generator))
    x, baseline = images(3).float(), images().float().mean(0)
    expected = attr.IntegratedGradients(whole).attribute(
        x, baselines=baseline[None].expand_as(x), target=1, n_steps=50
    )
    found, _ = integrated_gradients(
        whole, {"image": x}, "image", baseline, np.ones(3, dtype=np.int64)
    )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    layer = attr.LayerGradCam(whole, whole.body.smooth)
    cam = layer.attribute(x[:1], target=1, relu_attributions=True)
    ours = grad_cam(whole, {"image": x[:1]}, 1)
    assert ours is not None
    np.testing.assert_allclose(ours[0], cam[0, 0].detach().numpy(), atol=1e-9)


def test_overlays_are_orange_where_a_map_is_positive_and_blue_where_it_is_not() -> None:
    for channels in (1, 3):
        pixels = np.full((channels, 2, 2), 128, dtype=np.uint8)
        uri = overlays.overlaid(pixels, np.array([[1.0, 0.0], [0.0, -1.0]]))
        data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
        image = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        assert image.shape == (144, 144, 3)
        (r, _, b), plain, (r2, _, b2) = image[0, 0], image[0, -1], image[-1, -1]
        assert r > b + 100
        assert b2 > r2 + 50
        assert len(set(plain)) == 1
