"""What augmentations make of images, against SciPy, Pillow and the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from problems import problem
from scipy import ndimage
from torch import Tensor

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import Batch, Targets, excludes, technique
from pawl.techniques.augmentation._geometry import mapped
from pawl.techniques.augmentation.blur import smoothed
from pawl.techniques.augmentation.hue import turned
from pawl.techniques.augmentation.perspective import through
from pawl.techniques.augmentation.random_erasing import inside
from pawl.techniques.augmentation.trivial_augment import Operation, operated
from pawl.training.program import Namespace

KEY = torch.tensor([3], dtype=torch.int32)


def images(count: int = 2, height: int = 9, width: int = 12, channels: int = 3) -> Tensor:
    """Pixels `[1, count, channels, height, width]`."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, count, channels, height, width)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def changed(name: str, x: Tensor, **settings: Any) -> tuple[Tensor, Targets]:
    """Returns what a technique makes of a batch."""
    t = technique(name)
    values = Namespace({
        key: torch.tensor([float(value)]) if key in t.memberwise else value
        for key, value in t.settings(**settings).model_dump().items()
    })  # fmt: skip
    targets = Targets(torch.arange(x.shape[1]).unsqueeze(0))
    found = t.apply(Batch({"image": x}, targets), values, KEY)
    return found.inputs["image"], found.targets


def numbers(x: Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(x.numpy(), dtype=np.float64)


def test_maps_of_the_plane_are_those_of_scipy() -> None:
    x = images().float()
    angle, stretch = 0.4, 1.3
    cos, sin = np.cos(angle) * stretch, np.sin(angle) * stretch
    a, b, c, d = (torch.full((1, 2), float(value)) for value in (cos, -sin + 0.2, sin, cos))
    found = mapped(x, (a, b, c, d))
    # SciPy's axes are down, then across.
    matrix = np.array([[cos, sin], [-sin + 0.2, cos]])
    middle = np.array([(9 - 1) / 2, (12 - 1) / 2])
    for image, mine in zip(numbers(x[0]), found[0], strict=True):
        for channel, own in zip(image, mine, strict=True):
            theirs = ndimage.affine_transform(
                channel, matrix, middle - matrix @ middle, order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(own.numpy(), theirs, atol=1e-2)


def test_a_quarter_turn_is_exact() -> None:
    x = images(height=8, width=8).float()
    one, none = torch.ones(1, 2), torch.zeros(1, 2)
    torch.testing.assert_close(mapped(x, (none, -one, one, none)), x.rot90(1, (-2, -1)))
    torch.testing.assert_close(mapped(x, (one, none, none, one)), x, rtol=0, atol=1e-3)


def test_perspective_keeps_straight_lines_and_reaches_its_corners() -> None:
    height, width = 9, 12
    down, across = torch.meshgrid(torch.arange(9.0), torch.arange(12.0), indexing="ij")
    x = torch.stack([across, down])[None, None]  # each pixel says where it is
    corners = torch.tensor([[0.2, 0.1], [0.9, 0.2], [0.8, 0.85], [0.15, 0.8]])
    found = through(x, corners[None, None])[0, 0]
    # Eight equations for the eight numbers of a homography.
    rows, wanted = [], []
    for (u, v), (p, q) in zip([(0, 0), (1, 0), (1, 1), (0, 1)], corners.tolist(), strict=True):
        rows += [[u, v, 1, 0, 0, 0, -u * p, -v * p], [0, 0, 0, u, v, 1, -u * q, -v * q]]
        wanted += [p, q]
    a, b, c, d, e, f, g, h = np.linalg.solve(np.array(rows, float), np.array(wanted))
    u, v = (across.numpy() + 0.5) / width, (down.numpy() + 0.5) / height
    w = g * u + h * v + 1
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(
        found[0].numpy()[inner], (width * (a * u + b * v + c) / w - 0.5)[inner], atol=1e-4
    )
    np.testing.assert_allclose(
        found[1].numpy()[inner], (height * (d * u + e * v + f) / w - 0.5)[inner], atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rotation", {"degrees": 45.0}),
        ("zoom", {"amount": 0.6}),
        ("shear", {"amount": 0.4}),
        ("perspective", {"amount": 0.5}),
        ("blur", {"deviation": 2.0, "probability": 0.9}),
    ],
)
def test_each_image_changes_in_its_own_way(name: str, settings: dict[str, float]) -> None:
    x = images(1, 16, 16).float().expand(1, 24, 3, 16, 16)
    found, targets = changed(name, x, **settings)
    assert len({tuple(image.flatten().tolist()) for image in found[0]}) > 18
    assert torch.equal(targets.values, torch.arange(24).unsqueeze(0))
    assert targets.partner is None
    assert float(found.abs().max()) <= 255 + 1e-3


def test_turns_and_sizes_keep_to_their_bounds() -> None:
    # A bright square in the middle: its mass tells the size, its second moment the angle.
    x = torch.zeros(1, 200, 1, 33, 33)
    x[..., 12:21, 12:21] = 1.0
    sizes = changed("zoom", x, amount=0.5)[0].sum((-2, -1)).flatten() / 81
    assert float(sizes.min()) > 0.9 / 1.5**2
    assert float(sizes.max()) < 1.1 * 1.5**2
    assert abs(float(sizes.log().mean())) < 0.1  # as often larger as smaller
    x = torch.zeros(1, 200, 1, 33, 33)
    x[..., 16, 2:31] = 1.0
    turned_ = changed("rotation", x, degrees=20.0)[0]
    place = torch.arange(33.0) - 16
    moment = (turned_ * place * place.unsqueeze(1)).sum((-2, -1)).flatten()
    spread = (turned_ * (place**2 - place.unsqueeze(1) ** 2)).sum((-2, -1)).flatten()
    angles = torch.rad2deg(torch.atan2(2 * moment, spread) / 2)
    assert 19 < float(angles.abs().max()) < 21
    assert abs(float(angles.mean())) < 3


def test_blur_is_a_gaussian() -> None:
    x = images().float()
    deviations = torch.tensor([[0.5, 1.7]])
    found = smoothed(x, deviations)
    for i, deviation in enumerate((0.5, 1.7)):
        for channel in range(3):
            theirs = ndimage.gaussian_filter(
                numbers(x[0, i, channel]), deviation, radius=3, mode="nearest"
            )
            np.testing.assert_allclose(found[0, i, channel].numpy(), theirs, rtol=1e-3, atol=1e-2)
    assert torch.equal(smoothed(x, torch.tensor([[0.01, 0.01]])), x)


@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_colors_are_blended_as_pillow_does(name: str, enhance: Any) -> None:
    x = images(20)
    found = changed(name, x, amount=0.6)[0]
    assert found.dtype == torch.float32
    for image, mine in zip(x[0], found[0], strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        distances = [
            np.abs(np.asarray(enhance(picture).enhance(f), float).transpose(2, 0, 1) - mine.numpy())
            for f in np.linspace(0.4, 1.6, 241)
        ]
        assert min(distance.max() for distance in distances) < 3.0
    means = found.mean((-3, -2, -1)).flatten()
    assert float(means.std()) > 0 or name != "brightness"


def test_hue_turns_colors_about_grays() -> None:
    x = 0.5 * images().float() + 20.0
    third = torch.full((1, 2), 2 * np.pi / 3)
    torch.testing.assert_close(turned(x, third), x.roll(1, dims=2), rtol=0, atol=1e-3)
    torch.testing.assert_close(turned(x, torch.zeros(1, 2)), x)
    gray = x.mean(2, keepdim=True).expand_as(x)
    torch.testing.assert_close(turned(gray, third / 5), gray)
    torch.testing.assert_close(turned(x, third / 9).mean(2), x.mean(2), rtol=0, atol=1e-3)


def test_images_lose_their_colors_as_often_as_they_should() -> None:
    x = images(1).expand(1, 400, 3, 9, 12)
    found = changed("grayscale", x, probability=0.3)[0][0]
    gray = (found[:, 0] == found[:, 2]).flatten(1).all(1)
    assert 0.22 < float(gray.float().mean()) < 0.38
    picture = Image.fromarray(x[0, 0].permute(1, 2, 0).numpy()).convert("L")
    np.testing.assert_allclose(found[gray][0, 0].numpy(), np.asarray(picture, float), atol=1.0)
    assert torch.equal(found[~gray], x[0][~gray].float())


def test_a_rectangle_is_erased() -> None:
    x = torch.ones(1, 400, 2, 20, 20)
    found = changed("random_erasing", x, area=0.4, probability=0.5)[0][0]
    gone = (found == 0).float().mean((-2, -1))
    assert torch.equal(gone[:, 0], gone[:, 1])
    touched = gone[:, 0] > 0
    assert 0.42 < float(touched.float().mean()) < 0.58
    assert float(gone.max()) < 0.45
    assert float(gone[touched].mean()) > 0.05
    one = found[touched][0, 0] == 0  # rows and columns of a rectangle
    assert torch.equal(one, one.any(1, keepdim=True) & one.any(0, keepdim=True))


def test_what_is_inside_of_a_rectangle() -> None:
    middle = torch.tensor(0.0), torch.tensor(0.25)
    found = inside(torch.zeros(8, 4), middle, (torch.tensor(0.5), torch.tensor(0.25)))
    wanted = torch.zeros(8, 4, dtype=torch.bool)
    wanted[5:7, 1:3] = True
    assert torch.equal(found, wanted)


def test_cutmix_mixes_targets_by_the_pixels_that_are_left() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(1, 6, 3, 16, 16)
    found, targets = changed("cutmix", x, alpha=1.0, probability=1.0)
    assert targets.share is not None
    assert targets.partner is not None
    assert 0 < float(targets.share[0, 0]) < 1
    for i in range(6):
        own = found[0, i] == i
        assert bool((own | (found[0, i] == (i - 1) % 6)).all())
        assert float(own.float().mean()) == pytest.approx(float(targets.share[0, i]))
    assert targets.partner.values.tolist() == [[5, 0, 1, 2, 3, 4]]
    assert excludes(technique("cutmix"), technique("mixup"))


def test_cutmix_leaves_some_steps_alone() -> None:
    x = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(300, 4, 1, 8, 8)
    values = Namespace({"alpha": torch.ones(300), "probability": torch.full((300,), 0.4)})
    batch = Batch({"image": x}, Targets(torch.zeros(300, 4)))
    share = technique("cutmix").apply(batch, values, torch.arange(300, dtype=torch.int32))
    assert share.targets.share is not None
    mixed = share.targets.share[:, 0] < 1
    assert 0.25 < float(mixed.float().mean()) < 0.45  # small rectangles may miss all pixels


def test_what_needs_pixels_or_colors_says_so() -> None:
    facts = problem("images").facts()
    assert technique("hue").fits(facts) == "it needs images in color, with 3 channels"
    assert technique("brightness").fits(facts) is None
    spec = facts.schema.inputs[0].model_copy(update={"dtype": "float32"})
    schema = facts.schema.model_copy(update={"inputs": (spec,)})
    floats = type(facts)(schema, False, False, facts.module, facts.sample, 10)
    for name in ("brightness", "trivial_augment", "saturation"):
        reason = technique(name).fits(floats)
        assert reason is not None
        assert "uint8" in reason
    assert technique("rotation").fits(floats) is None


def _pillow(picture: Image.Image, operation: Operation, strength: float) -> Image.Image:
    factor = 1 + 0.99 * strength
    enhancers: dict[Operation, Any] = {
        Operation.BRIGHTNESS: ImageEnhance.Brightness,
        Operation.CONTRAST: ImageEnhance.Contrast,
        Operation.COLOR: ImageEnhance.Color,
    }
    if operation in enhancers:
        return enhancers[operation](picture).enhance(factor)
    if operation is Operation.POSTERIZE:
        return ImageOps.posterize(picture, 8 - round(6 * strength))
    if operation is Operation.SOLARIZE:
        return ImageOps.solarize(picture, round(255 * (1 - strength)))
    return ImageOps.autocontrast(picture)


@pytest.mark.parametrize(
    "operation",
    [
        Operation.BRIGHTNESS, Operation.CONTRAST, Operation.COLOR, Operation.POSTERIZE,
        Operation.SOLARIZE, Operation.STRETCH,
    ],
    ids=lambda o: o.name,
)  # fmt: skip
def test_operations_of_the_policy_are_pillows(operation: Operation) -> None:
    x = images()
    if operation is Operation.STRETCH:
        x = x // 3 + 40
    number = torch.full((1, 2), float(operation))
    found = operated(x.float(), number, torch.full((1, 2), 0.6), torch.ones(1, 2))
    for image, mine in zip(x[0], found[0], strict=True):
        theirs = _pillow(Image.fromarray(image.permute(1, 2, 0).numpy()), operation, 0.6)
        distance = np.abs(np.asarray(theirs, float).transpose(2, 0, 1) - mine.numpy())
        assert distance.max() < 2.0


def test_other_operations_of_the_policy() -> None:
    x = images(height=12, width=12).float()

    def done(operation: Operation, strength: float, sign: float = 1.0) -> Tensor:
        number, size = torch.full((1, 2), float(operation)), torch.full((1, 2), strength)
        return operated(x, number, size, torch.full((1, 2), sign))

    torch.testing.assert_close(done(Operation.NOTHING, 0.7), x, rtol=0, atol=1e-3)
    for operation in Operation:
        if operation not in (Operation.STRETCH, Operation.SOLARIZE):
            torch.testing.assert_close(done(operation, 0.0), x, rtol=0, atol=1e-3)
    # Half of the side, and in comes the mean.
    moved = done(Operation.SHIFT_ACROSS, 1.0)
    torch.testing.assert_close(moved[..., :6], x[..., 6:], rtol=0, atol=1e-3)
    mean = x.mean((-2, -1), keepdim=True)
    torch.testing.assert_close(moved[..., 7:], mean.expand_as(x)[..., 7:], rtol=0, atol=1e-3)
    two_thirds = done(Operation.ROTATE, 2 / 3, -1.0)
    torch.testing.assert_close(two_thirds, x.rot90(-1, (-2, -1)), rtol=0, atol=0.05)
    kernel = np.ones((3, 3))
    kernel[1, 1] = 5
    channel = numbers(x[0, 0, 0])
    smooth = ndimage.convolve(channel, kernel / 13, mode="nearest")
    sharp = done(Operation.SHARPNESS, 0.5)[0, 0, 0].numpy()
    wanted = np.clip(smooth + (1 + 0.99 / 2) * (channel - smooth), 0, 255)
    np.testing.assert_allclose(sharp, wanted, atol=1e-2)


def test_the_policy_uses_all_of_its_operations() -> None:
    x = images(1, 12, 12).expand(1, 260, 3, 12, 12)
    found = changed("trivial_augment", x, strength=1.0)[0]
    assert len({tuple(image.flatten().tolist()) for image in found[0]}) > 200
    unchanged = (found[0] - x[0].float()).abs().flatten(1).amax(1) < 1e-2
    assert 0.02 < float(unchanged.float().mean()) < 0.2


def test_a_policy_of_few_operations_does_no_others() -> None:
    x = images(1, 12, 12).expand(1, 100, 3, 12, 12)
    found = changed("trivial_augment", x, strength=1.0, operations=("posterize", "nothing"))[0]
    image = x[0].float()
    same = (found[0] - image).abs().flatten(1).amax(1) < 1e-2
    below = ((found[0] <= image + 1e-2) & (found[0] % 2 == 0)).flatten(1).all(1)  # posterized
    assert bool((same | below).all())
    assert 0.2 < float(same.float().mean()) < 0.8


@pytest.mark.parametrize(
    ("operations", "message"),
    [((), "a policy needs at least one operation; there are: nothing, rotate"),
     (("rotat",), "unknown operation 'rotat' \\(did you mean 'rotate'\\?\\)")],
)  # fmt: skip
def test_a_policy_that_does_nothing_or_the_unknown_is_refused(
    operations: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.of(adamw={}, trivial_augment={"operations": operations})


def test_a_mix_of_mixes_keeps_all_targets_in_proportion() -> None:
    """The loss by chains of partners is that of the distribution over rows that the shares make."""
    generator = torch.Generator().manual_seed(0)
    targets = Targets(torch.arange(5.0).view(1, 5))
    weights = torch.eye(5)
    for _ in range(3):
        share = torch.rand(1, 5, generator=generator)
        weights = share.view(5, 1) * weights + (1 - share.view(5, 1)) * weights.roll(1, dims=0)
        targets = targets.mixed(share)
    found, left, part = torch.zeros(5, 5), torch.ones(5), targets
    while part is not None:
        own = torch.ones(5) if part.share is None else part.share[0]
        found[torch.arange(5), part.values[0].long()] += left * own
        left, part = left * (1 - own), part.partner
    torch.testing.assert_close(found, weights)
    certain = Targets(torch.arange(5.0).view(1, 5)).mixed(torch.ones(1, 5)).mixed(torch.ones(1, 5))
    assert bool((certain.share == 1).all())
