"""Maps over images: which places speak for a prediction; and what the maps are worth.

Shape legend: `N` images, `D` other images, `K` patches, `C, H, W` an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs
from pawl.errors import printable
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import (
    SHUFFLES,
    grad_cam,
    integrated_gradients,
    scrambled,
    subject_of,
    unshifted_values,
)
from pawl.explaining.result import Picture, Pictures
from pawl.explaining.subject import Subject, Values, count_of, taken
from pawl.explaining.value import Check
from pawl.explaining.worth import alike, mean_interval, weights_check
from pawl.models import Pipeline
from pawl.rng import derive_seed

_SIDE, _DONORS = 8, 8
_COMPLETE, _STABLE = 0.1, 0.7
_STEPS, _ORDERS = 10, 8
_MOST_PLACES = 32
_FEW = 6


def image_input(subject: Subject) -> str | None:
    """Returns the input that is an image `[C, H, W]`; `None` unless it is the only input."""
    inputs = subject.schema.inputs
    return inputs[0].name if len(inputs) == 1 and len(inputs[0].shape) == 3 else None


class Maps:
    """Maps of images, by several methods.

    Args:
        subject: What is explained.
        name: The input that is an image.
        images: The images to explain, `N`.
        others: What their places are replaced by.
        files: The images' files, if there are any.
        seed: Of what is drawn.
    """

    def __init__(
        self,
        subject: Subject,
        name: str,
        images: Inputs,
        others: Inputs,
        files: Sequence[str],
        seed: int,
    ) -> None:
        self.subject, self.name, self.images, self.files = subject, name, images, files
        self.seed = seed
        generator = np.random.default_rng(derive_seed(seed, "donors"))
        drawn = generator.permutation(count_of(others))[:_DONORS]
        self.donors = others[name][torch.from_numpy(drawn)]
        self.mean = others[name].float().mean(0)
        self.values = subject.values(images)
        self.leading = subject.leading(self.values)
        self.scale = subject.values(others).std(0)

    def occluded(self, subject: Subject, row: int, donors: Tensor) -> Values:
        """Returns by how much the output falls where a patch is that of other images, `[H, W]`.

        The mean over other images, and over the patches that cover a place (Zeiler and Fergus 2014).
        """
        image, output = self.images[self.name][row], int(self.leading[row])
        height, width = image.shape[-2:]
        patches = _patches(height, width)
        mixed = image.expand(len(patches), len(donors), *image.shape).clone()
        for place, (top, bottom, left, right) in enumerate(patches):
            mixed[place, :, :, top:bottom, left:right] = donors[:, :, top:bottom, left:right]
        found = subject.values({self.name: mixed.flatten(0, 1)})[:, output]
        lost = self._value(subject, row) - found.reshape(len(patches), -1).mean(1)
        total, covered = np.zeros((height, width)), np.zeros((height, width))
        for (top, bottom, left, right), each in zip(patches, lost, strict=True):
            total[top:bottom, left:right] += each
            covered[top:bottom, left:right] += 1
        return total / covered

    def _value(self, subject: Subject, row: int) -> float:
        if subject is self.subject:
            return float(self.values[row, self.leading[row]])
        return float(subject.values(taken(self.images, [row]))[0, self.leading[row]])

    def integrated(self, pipeline: Pipeline, row: int) -> tuple[Values, float]:
        """Returns integrated gradients from the mean image, summed over channels, and what they miss."""
        shown = unshifted_values(self.subject.shift)
        maps, missed = integrated_gradients(
            pipeline, taken(self.images, [row]), self.name, self.mean, self.leading[row : row + 1],
            shown=shown,
        )  # fmt: skip
        return maps[0].sum(0), float(missed[0])

    def cams(self, pipeline: Pipeline, rows: int) -> tuple[Values, str] | None:
        """Returns Grad-CAM of the first rows, as large as the images, and its layer; `None` without."""
        size = tuple(self.images[self.name].shape[-2:])
        maps, layer = [], ""
        for row in range(rows):
            found = grad_cam(pipeline, taken(self.images, [row]), int(self.leading[row]))
            if found is None:
                return None
            small, layer = found
            large = nn.functional.interpolate(
                torch.from_numpy(small)[None, None], size=size, mode="bilinear"
            )
            maps.append(large[0, 0].numpy())
        return np.stack(maps), layer

    def deletion(self, maps: Values) -> Check:
        """Places taken from the image in the order of a map, against random orders."""
        generator = np.random.default_rng(derive_seed(self.seed, "orders of places"))
        gained = []
        for row, each in enumerate(maps):
            output = int(self.leading[row])
            ours = self._kept(row, [np.argsort(-each, axis=None, kind="stable")])
            random = self._kept(row, [_blocks(each.shape, generator) for _ in range(_ORDERS)])
            scale = self.scale[output] if self.scale[output] > 0 else 1.0
            gained.append(float(random.mean() - ours.mean()) / scale)
        mean, (low, high) = mean_interval(np.array(gained))
        return Check(
            name="deletion",
            value=mean,
            passed=low > 0,
            text="Where places are taken away by the map, largest first, the output falls faster "
            f"than in random orders, by {mean:.2g} deviations (95% interval over images {low:.2g} "
            f"to {high:.2g}; above 0 is demanded).",
        )

    def _kept(self, row: int, orders: Sequence[NDArray[np.int64]]) -> Values:
        """Returns the output with more and more places from the mean image, `[orders, steps]`."""
        image, output = self.images[self.name][row], int(self.leading[row])
        mean = self.mean.to(image.dtype)
        mixed = []
        for order in orders:
            rank = np.empty(len(order), dtype=np.int64)
            rank[order] = np.arange(len(order))
            for step in range(1, _STEPS):
                gone = torch.from_numpy(rank < len(order) * step // _STEPS).view(image.shape[-2:])
                mixed.append(torch.where(gone, mean, image))
        found = self.subject.values({self.name: torch.stack(mixed)})[:, output]
        return found.reshape(len(orders), -1)

    def told(self, maps: Values, method: str, detail: str, checks: Sequence[Check]) -> Pictures:
        """Returns maps as they are kept."""
        return Pictures(
            method=method,  # type: ignore[arg-type]
            detail=detail,
            pictures=[
                Picture(
                    row=row,
                    file=printable(self.files[row]) if self.files else "",
                    output=self.subject.outputs[int(self.leading[row])],
                    prediction=float(self.values[row, self.leading[row]]),
                    map=[[float(f"{value:.4g}") for value in line] for line in _pooled(each)],
                )
                for row, each in enumerate(maps)
            ],
            checks=list(checks),
        )


def pictures(
    subject: Subject,
    images: Examples,
    others: Inputs,
    pipeline: Pipeline | None,
    *,
    seed: int,
    effort: Effort,
) -> list[Pictures]:
    """Returns maps of images: occlusion, and by the bundle's modules integrated gradients and Grad-CAM.

    Args:
        subject: What is explained.
        images: The images to explain.
        others: What they are compared with.
        pipeline: The bundle's modules; `None` where there are none.
        seed: Of what is drawn.
        effort: Fewer images where it ends before, and only some methods.
    """
    name = image_input(subject)
    assert name is not None
    maps = Maps(subject, name, images.inputs, others, images.files, seed)
    wrong: list[Pipeline] = []
    if pipeline is not None:
        wrong = [scrambled(pipeline, seed, number) for number in range(SHUFFLES)]
    first: list[Values] = []
    for row in range(len(images)):
        if effort.over and first:
            break
        first.append(
            np.stack([maps.occluded(subject, row, maps.donors[part::2]) for part in (0, 1)])
        )
    rows = len(first)
    halves = np.stack(first, 1)
    occluded = halves.mean(0)
    checks = [_stability(*halves)]
    few = min(_FEW, rows)
    if wrong:
        like = [subject_of(subject, each) for each in wrong]
        shuffled = [
            np.stack([maps.occluded(other, row, maps.donors) for row in range(few)])
            for other in like
        ]
        checks.append(_weights(occluded, shuffled))
    patch = _patches(*occluded.shape[1:])[0]
    size = f"{patch[1]} by {patch[3]} pixels"
    detail = f"Patches of {size} become those of {len(maps.donors)} other images."
    found = [maps.told(occluded, "occlusion", detail, [*checks, maps.deletion(occluded)])]
    if pipeline is None or effort.over:
        return found
    both = [maps.integrated(pipeline, row) for row in range(rows)]
    integrated = np.stack([each for each, _ in both])
    shuffled = [np.stack([maps.integrated(other, row)[0] for row in range(few)]) for other in wrong]
    checks = [
        _completeness(maps, np.array([missed for _, missed in both])),
        _weights(integrated, shuffled),
        maps.deletion(integrated),
    ]
    detail = "From the mean image to the image in 50 steps, summed over colors."
    found.append(maps.told(integrated, "integrated gradients", detail, checks))
    cams = maps.cams(pipeline, rows)
    if cams is not None and not effort.over:
        kept, layer = cams
        others_too = [maps.cams(other, few) for other in wrong]
        shuffled = [each[0] for each in others_too if each is not None]
        checks = [_weights(kept, shuffled), maps.deletion(kept)]
        detail = f"Of the last layer with places, {layer}, resized to the image."
        found.append(maps.told(kept, "Grad-CAM", detail, checks))
    return found


def _patches(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Returns overlapping patches, `(top, bottom, left, right)`, that cover an image."""
    size = [max(2, -(-2 * side // _SIDE)) if side > 1 else 1 for side in (height, width)]
    starts = []
    for side, patch in zip((height, width), size, strict=True):
        stride = max(1, patch // 2)
        own = list(range(0, side - patch + 1, stride))
        starts.append(own if own[-1] == side - patch else [*own, side - patch])
    return [(t, t + size[0], left, left + size[1]) for t in starts[0] for left in starts[1]]


def _blocks(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.int64]:
    """Returns places in a random order that keeps neighbors together, as maps do."""
    coarse = torch.from_numpy(generator.random((1, 1, *(max(2, side // 4) for side in shape))))
    smooth = nn.functional.interpolate(coarse, size=shape, mode="bilinear")[0, 0].numpy()
    order: NDArray[np.int64] = np.argsort(-smooth, axis=None, kind="stable")
    return order


def _pooled(map_: Values) -> Values:
    """Returns a map of at most 32 places a side, means of what is larger."""
    size = (min(_MOST_PLACES, map_.shape[0]), min(_MOST_PLACES, map_.shape[1]))
    pooled = nn.functional.adaptive_avg_pool2d(torch.from_numpy(map_)[None, None], size)
    return pooled[0, 0].numpy()


def _flat(maps: Values) -> Values:
    return maps.reshape(len(maps), -1)


def _stability(one: Values, other: Values) -> Check:
    same = alike(_flat(one), _flat(other))
    return Check(
        name="stability",
        value=same,
        passed=same >= _STABLE,
        text="Two estimates, with patches of other images, rank places with a correlation of "
        f"{same:.2f} (median over images; {_STABLE} or more is demanded).",
    )


def _weights(maps: Values, wrong: Sequence[Values]) -> Check:
    return weights_check(_flat(maps), [_flat(each) for each in wrong], "places of an image")


def _completeness(maps: Maps, missed: Values) -> Check:
    scale = maps.scale[maps.leading[: len(missed)]]
    worst = float((np.abs(missed) / np.where(scale > 0, scale, 1.0)).max())
    return Check(
        name="completeness",
        value=worst,
        passed=worst <= _COMPLETE,
        text="A map's sum misses the output's distance from that of the mean image by "
        f"{worst:.2g} deviations of the output at most ({_COMPLETE:g} is allowed).",
    )
