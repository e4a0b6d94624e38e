"""The models pawl builds when none is given, the layers in front of them, and surgery on any."""

from pawl.models.build import Adapter, Builder, make_builder
from pawl.models.deployed import Averaged, Deployed, Pipeline
from pawl.models.front import Affine, Front, base_layers
from pawl.models.layers import KeyedDropout, PiecewiseLinear, dropouts, flat
from pawl.models.members import MemberHeads, Spread, predicts_several_times
from pawl.models.nets import ImageNet, Net, Shape, TabularNet
from pawl.models.outputs import outputs, predicting

__all__ = [
    "Adapter",
    "Affine",
    "Averaged",
    "Builder",
    "Deployed",
    "Front",
    "ImageNet",
    "KeyedDropout",
    "MemberHeads",
    "Net",
    "PiecewiseLinear",
    "Pipeline",
    "Shape",
    "Spread",
    "TabularNet",
    "base_layers",
    "dropouts",
    "flat",
    "make_builder",
    "outputs",
    "predicting",
    "predicts_several_times",
]
