"""The models pawl builds when none is given, the layers in front of them, and surgery on any."""

from pawl.models.bags import TokenBag
from pawl.models.build import Adapter, Builder, Calls, ModelBuilder, revealed
from pawl.models.deployed import Averaged, Deployed, Pipeline, tempered, threshold_of
from pawl.models.front import Affine, Front, SmoothClip, base_layers
from pawl.models.graphs import OUTPUT, to_onnx
from pawl.models.layers import (
    InputScale,
    Parametric,
    Periodic,
    PiecewiseLinear,
    SqueezeExcite,
    flat,
)
from pawl.models.layout import Layout
from pawl.models.learned import Affinity, Encoder, Learned, Link, Neighbors
from pawl.models.member_layers import (
    KeyedDropout,
    MemberLayer,
    dropouts,
    freeze,
    frozen,
    member_layers,
)
from pawl.models.members import MemberHeads, Spread, predicts_several_times
from pawl.models.nets import ImageNet, Net, SequenceNet, Shape, TabularNet
from pawl.models.outputs import outputs, predicting
from pawl.models.precision import MixedPrecision
from pawl.models.readers import EncoderKind
from pawl.models.surgery import assign
from pawl.models.trees import Tree, Trees

__all__ = [
    "OUTPUT",
    "Adapter",
    "Affine",
    "Affinity",
    "Averaged",
    "Builder",
    "Calls",
    "Deployed",
    "Encoder",
    "EncoderKind",
    "Front",
    "ImageNet",
    "InputScale",
    "KeyedDropout",
    "Layout",
    "Learned",
    "Link",
    "MemberHeads",
    "MemberLayer",
    "MixedPrecision",
    "ModelBuilder",
    "Neighbors",
    "Net",
    "Parametric",
    "Periodic",
    "PiecewiseLinear",
    "Pipeline",
    "SequenceNet",
    "Shape",
    "SmoothClip",
    "Spread",
    "SqueezeExcite",
    "TabularNet",
    "TokenBag",
    "Tree",
    "Trees",
    "assign",
    "base_layers",
    "dropouts",
    "flat",
    "freeze",
    "frozen",
    "member_layers",
    "outputs",
    "predicting",
    "predicts_several_times",
    "revealed",
    "tempered",
    "threshold_of",
    "to_onnx",
]
