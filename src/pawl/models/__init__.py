"""The models pawl builds when none is given, the layers in front of them, and surgery on any."""

from pawl.models.added_inputs import Pairs, TargetMeans
from pawl.models.bags import TokenBag
from pawl.models.boosted import BoostedNets
from pawl.models.build import (
    Adapter,
    Builder,
    Calls,
    ModelBuilder,
    concealed,
    is_pretrained,
    revealed,
)
from pawl.models.codes import known_codes, unknown_code
from pawl.models.corrected import Corrected
from pawl.models.curves import Curves, Power
from pawl.models.deployed import Averaged, Deployed, Pipeline, tempered, threshold_of
from pawl.models.duplicates import duplicate
from pawl.models.exchanged import (
    AlongChannels,
    AlongLast,
    BlurPool2d,
    ChannelRMSNorm,
    DeviationNorm,
    MapAttention,
    PooledLinear,
    RootNorm,
    separable,
)
from pawl.models.front import Affine, Front, SmoothClip, base_layers
from pawl.models.graphs import OUTPUT, to_onnx
from pawl.models.held import hold, hold_all_but, normalizing_by_batch
from pawl.models.keyed_calls import dropouts
from pawl.models.layers import (
    ByMode,
    Chain,
    InputScale,
    LayerScale,
    OwnActivation,
    Parametric,
    Periodic,
    PiecewiseLinear,
    Scaled,
    Skip,
    SqueezeExcite,
    flat,
)
from pawl.models.layout import Layout
from pawl.models.learned import Affinity, Encoder, Learned, Link, Neighbors
from pawl.models.lengths import lengths_kept
from pawl.models.low_rank import LowRank, adapt, merged, merged_tensors
from pawl.models.masks import masks_taken
from pawl.models.member_layers import (
    KeyedAttention,
    KeyedDropConnect,
    KeyedDropout,
    MemberLayer,
    StochasticDepth,
    freeze,
    frozen,
    member_layers,
)
from pawl.models.members import MemberHeads, Pooled, RankOne, Spread, predicts_several_times
from pawl.models.memory import Memory, remembered
from pawl.models.memory_format import ChannelsLast, with_channels_last
from pawl.models.neighborhood import Neighborhood
from pawl.models.nets import ImageNet, Net, SequenceNet, Shape, TabularNet
from pawl.models.order import head_of, layers_in_order, order_of, resized
from pawl.models.outputs import outputs, predicting
from pawl.models.precision import MixedPrecision
from pawl.models.readers import EncoderKind
from pawl.models.started import Started, for_channels
from pawl.models.surgery import assign
from pawl.models.thinned_graphs import members_of, thinned, with_members
from pawl.models.trees import Tree, Trees
from pawl.models.unregistered import unregistered
from pawl.models.views import Views

__all__ = [
    "OUTPUT",
    "Adapter",
    "Affine",
    "Affinity",
    "AlongChannels",
    "AlongLast",
    "Averaged",
    "BlurPool2d",
    "BoostedNets",
    "Builder",
    "ByMode",
    "Calls",
    "Chain",
    "ChannelRMSNorm",
    "ChannelsLast",
    "Corrected",
    "Curves",
    "Deployed",
    "DeviationNorm",
    "Encoder",
    "EncoderKind",
    "Front",
    "ImageNet",
    "InputScale",
    "KeyedAttention",
    "KeyedDropConnect",
    "KeyedDropout",
    "LayerScale",
    "Layout",
    "Learned",
    "Link",
    "LowRank",
    "MapAttention",
    "MemberHeads",
    "MemberLayer",
    "Memory",
    "MixedPrecision",
    "ModelBuilder",
    "Neighborhood",
    "Neighbors",
    "Net",
    "OwnActivation",
    "Pairs",
    "Parametric",
    "Periodic",
    "PiecewiseLinear",
    "Pipeline",
    "Pooled",
    "PooledLinear",
    "Power",
    "RankOne",
    "RootNorm",
    "Scaled",
    "SequenceNet",
    "Shape",
    "Skip",
    "SmoothClip",
    "Spread",
    "SqueezeExcite",
    "Started",
    "StochasticDepth",
    "TabularNet",
    "TargetMeans",
    "TokenBag",
    "Tree",
    "Trees",
    "Views",
    "adapt",
    "assign",
    "base_layers",
    "concealed",
    "dropouts",
    "duplicate",
    "flat",
    "for_channels",
    "freeze",
    "frozen",
    "head_of",
    "hold",
    "hold_all_but",
    "is_pretrained",
    "known_codes",
    "layers_in_order",
    "lengths_kept",
    "masks_taken",
    "member_layers",
    "members_of",
    "merged",
    "merged_tensors",
    "normalizing_by_batch",
    "order_of",
    "outputs",
    "predicting",
    "predicts_several_times",
    "remembered",
    "resized",
    "revealed",
    "separable",
    "tempered",
    "thinned",
    "threshold_of",
    "to_onnx",
    "unknown_code",
    "unregistered",
    "with_channels_last",
    "with_members",
]
