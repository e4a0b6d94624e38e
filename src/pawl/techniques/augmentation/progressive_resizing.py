"""Small images first, whole ones later."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from pawl.data.types import Inputs
from pawl.errors import first_line
from pawl.techniques.augmentation._images import needs_images, on_images
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_PIXELS = 4
"""Sides are multiples of this: strides and pooling meet even maps, and there are few sizes."""
_LEAST = 0.5


class ProgressiveResizingSettings(Settings):
    """Settings of `progressive_resizing`."""

    start: float = number(0.5, _LEAST, 0.9, "share of an image's sides at first")
    until: float = number(0.7, 0.1, 1.0, "share of the training from which on images are whole")


def progressive_resizing(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Shrinks images while a model is young: sides grow from `start` to 1 of theirs along a line.

    At a share `p` of the training, sides are `start + (1 - start) min(1, p / until)` of the whole,
    rounded to four pixels; images are averaged down (bilinear, without aliases). A step on half the
    sides costs about a quarter, so a training is shorter; evaluated and deployed are whole images. It is
    for networks that take images of any size, as those that average over the map, and their layers see
    things at another scale at first. Members train one by one, since their images differ in size.

    Args:
        batch: Of one member; images are `[1, B, C, H, W]`.
        settings: `start` and `until`, `[1]`.
        key: Of no use.
    """
    del key
    assert batch.targets.progress is not None
    grown = float(batch.targets.progress.flatten()[0]) / float(settings.until)
    start = float(settings.start)
    factor = start + (1.0 - start) * min(1.0, grown)
    return on_images(batch, lambda x: resized(x.flatten(0, 1), factor).unsqueeze(0))


def resized(x: Tensor, factor: float) -> Tensor:
    """Returns images `[B, C, H, W]` whose sides are about a factor of theirs.

    Example:
        >>> resized(torch.zeros(2, 3, 32, 30), 0.6).shape
        torch.Size([2, 3, 20, 20])
    """
    sides = [_side(length, factor) for length in x.shape[2:]]
    if sides == list(x.shape[2:]):
        return x
    return F.interpolate(x, sides, mode="bilinear", antialias=True)


def _side(length: int, factor: float) -> int:
    if factor >= 1.0:
        return length
    return min(length, max(_PIXELS, _PIXELS * round(length * factor / _PIXELS)))


def _fits(facts: Facts) -> str | None:
    if reason := needs_images(facts):
        return reason
    module = copy.deepcopy(facts.module).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        whole = pytree.tree_map(_shape, module(facts.sample))
        try:
            small = pytree.tree_map(_shape, module(_shrunk(facts.sample)))
        except Exception as error:  # the user's own code
            return (
                f"the model takes images of one size ({first_line(error)}); those that average over "
                "the map in front of their last layer take any"
            )
    return None if small == whole else "the shape of what the model returns follows the images'"


def _shape(x: Any) -> Any:
    return tuple(x.shape) if isinstance(x, Tensor) else x


def _shrunk(sample: Inputs) -> Inputs:
    images = {name: x for name, x in sample.items() if x.dim() == 4 and x.is_floating_point()}
    return {**sample, **{name: resized(x, _LEAST) for name, x in images.items()}}


TECHNIQUE = BatchTechnique(
    name="progressive_resizing",
    summary="Train on small images first, and on whole ones later.",
    reference="Howard, Fast.ai at DAWNBench, 2018; MosaicML Composer, Progressive Image Resizing, 2021",
    apply=progressive_resizing,
    phase=Phase.GEOMETRY,
    settings=ProgressiveResizingSettings,
    memberwise=frozenset({"start", "until"}),
    alone=True,
    fits=_fits,
)
