"""A residual net of your own, written with functions, on a folder or an archive of images by class.

    python examples/extract_images.py ../shared/data/cifar10.tar.xz images.tar
    pawl optimize examples/own_images.py --budget 10m --out photos

Pawl changes the net as it is written: activations that are called as functions, shortcuts that are added
by an operator, blocks in a list. The archive is `images.tar` here, or what the variable IMAGES names.
"""

from __future__ import annotations

import os

from torch import Tensor, nn
from torch.nn import functional as F

import pawl


class Block(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = None
        if stride > 1 or channels_in != channels:
            self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu(out)


class Residual(nn.Module):
    """Blocks at three scales, each with half the pixels and twice the channels."""

    def __init__(self, classes: int = 10, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        widths = (width, 2 * width, 4 * width)
        self.blocks = nn.ModuleList(
            Block(before, after, stride)
            for before, after, stride in zip((width, *widths), widths, (1, 2, 2), strict=False)
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def task() -> pawl.Task:
    """Returns the task."""
    return pawl.Task(data=os.environ.get("IMAGES", "images.tar"), model=Residual, name="photos")
