"""Small image networks of the packages `timm` and `torchvision`, with random weights.

`timm` needs `torchvision`, and the wheel of `torchvision` that package indexes have wants PyTorch with
CUDA: beside PyTorch for CPUs its compiled part can't be loaded, and its import fails as two operators
lack. They are declared here, without anything that computes them, which no network below needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

from pawl.data import ModelSpec


def _torchvision() -> ModuleType:
    """Imports `torchvision`, if need be with operators that lack only declared."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:  # an operator does not exist
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            _LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module("torchvision")


_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
torchvision: Any = _torchvision()
timm: Any = importlib.import_module("timm")
models: Any = importlib.import_module("torchvision.models")
Factory = Callable[[ModelSpec], nn.Module]
VERSIONS = {"timm": timm.__version__, "torchvision": torchvision.__version__}


def _timm(name: str, **settings: Any) -> Factory:
    return lambda spec: timm.create_model(name, num_classes=spec.num_outputs, **settings)


def _made(make: Callable[..., nn.Module]) -> Factory:
    return lambda spec: make(num_classes=spec.num_outputs)


NETS: dict[str, Factory] = {
    "timm_vit": _timm(
        "test_vit", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2
    ),
    "timm_mixer": _made(
        partial(timm.models.MlpMixer, img_size=32, patch_size=8, embed_dim=16, num_blocks=2)
    ),
    "timm_resnet": _timm("test_resnet"),
    "timm_nfnet": _timm("test_nfnet"),
    "timm_efficientnet": _timm("test_efficientnet"),
    "timm_mambaout": _timm("test_mambaout"),
    "vision_swin": _made(
        partial(
            models.SwinTransformer, patch_size=[4, 4], embed_dim=8, depths=[2, 2], num_heads=[2, 2],
            window_size=[4, 4],
        )
    ),
    "vision_densenet": _made(
        partial(models.DenseNet, growth_rate=4, block_config=(2, 2), num_init_features=8)
    ),
    "vision_shufflenet": _made(
        partial(
            models.ShuffleNetV2, stages_repeats=[2, 2, 2],
            stages_out_channels=[8, 16, 24, 32, 48],
        )
    ),
    "vision_squeezenet": _made(partial(models.SqueezeNet, version="1_1")),
}  # fmt: skip
"""Of images of 32 by 32 in color."""
