"""What an expert would say of each network from other hands and technique, written by hand.

It was written before any of the edits were tried. A pair that isn't named in `NOT_BY_HAND` is one that
an expert would edit by hand, in the source or by a setting of the network's.
"""

from __future__ import annotations

_ATTENDING = (
    "vit dinov2 swin pvt levit mobilevit bert distilbert albert deberta_v2 gpt2 llama t5 xlnet"
)
_TEXTS = "bert distilbert albert deberta_v2 gpt2 llama t5 fnet xlnet mamba"
_CONVOLUTIONS = "poolformer convnext convnextv2 resnet mobilenet_v2 efficientnet"
_IMAGES = f"vit dinov2 swin pvt levit mobilevit {_CONVOLUTIONS}"
_OTHERS = (
    "timm_resnet timm_nfnet timm_efficientnet timm_mambaout vision_densenet vision_shufflenet "
    "vision_squeezenet"
)
_EVERY = f"{_IMAGES} {_TEXTS} patchtst timm_vit timm_mixer vision_swin {_OTHERS}"
_CAUSAL = "gpt2 llama mamba"
_PATCHES = "vit dinov2 swin pvt convnext convnextv2"

STYLES = {
    "images, attention": "vit dinov2 swin pvt levit mobilevit",
    "images, convolutions": _CONVOLUTIONS,
    "tokens, both ways": "bert distilbert albert deberta_v2 t5 fnet xlnet",
    "tokens, causal": _CAUSAL,
    "series": "patchtst",
    "images, of timm": "timm_vit timm_mixer timm_resnet timm_nfnet timm_efficientnet timm_mambaout",
    "images, of torchvision": "vision_swin vision_densenet vision_shufflenet vision_squeezenet",
}
"""Networks by what is special about them."""

_ALREADY = "the model does so already"
_NO_RESIDUAL = "it has no residual block"
_PLAIN = "vision_densenet vision_shufflenet vision_squeezenet"
_AHEAD = "it would look at steps that are to come"

NOT_BY_HAND: dict[str, dict[str, str]] = {
    "activation": {},
    "parametric_activation": {},
    "batch_norm": {
        _ALREADY: (
            "levit resnet mobilenet_v2 efficientnet patchtst timm_resnet timm_efficientnet "
            "vision_densenet vision_shufflenet"
        )
    },
    "layer_norm": {
        _ALREADY: (
            "vit dinov2 swin pvt poolformer convnext convnextv2 bert distilbert albert deberta_v2 gpt2 "
            "fnet xlnet timm_vit timm_mixer timm_mambaout vision_swin"
        )
    },
    "rms_norm": {_ALREADY: "llama t5 mamba"},
    "group_norm": {},
    "instance_norm": {_AHEAD: _CAUSAL},
    "blocks": {},
    "residual": {_ALREADY: _EVERY.replace(" vision_shufflenet vision_squeezenet", "")},
    "stochastic_depth": {_ALREADY: "swin efficientnet vision_swin", _NO_RESIDUAL: _PLAIN},
    "layer_scale": {_ALREADY: "dinov2 convnext poolformer", _NO_RESIDUAL: _PLAIN},
    "width": {},
    "separable": {
        "it has no standard convolution of several channels and places behind the first layer": (
            f"{_PATCHES} mobilenet_v2 efficientnet {_TEXTS} patchtst timm_vit timm_mixer vision_swin "
            "vision_shufflenet"
        )
    },
    "dilation": {
        "it has no 3 by 3 convolution of stride 1": (
            f"{_PATCHES} levit poolformer {_TEXTS} patchtst timm_vit timm_mixer vision_swin "
            "timm_mambaout"
        )
    },
    "pooling": {
        "it has no pooling that makes a map smaller": (
            "vit dinov2 swin pvt levit mobilevit poolformer convnext convnextv2 mobilenet_v2 "
            f"efficientnet {_TEXTS} patchtst timm_vit timm_mixer vision_swin timm_mambaout "
            "timm_efficientnet"
        )
    },
    "global_pooling": {"it flattens no map": _EVERY},
    "squeeze_excite": {_ALREADY: "efficientnet timm_nfnet timm_efficientnet", _AHEAD: _CAUSAL},
    "self_attention": {_ALREADY: f"{_ATTENDING} patchtst timm_vit vision_swin", _AHEAD: "mamba"},
    "dropout": {},
    "initialization": {},
    "weight_tying": {"it has no embedding of its outputs' shape": _EVERY},
    "hidden_head": {
        _ALREADY: "timm_mambaout",
        "its head is a convolution": "vision_squeezenet",
    },
    "shared_blocks": {
        _ALREADY: "albert",
        "no two of its blocks are alike": (
            "pvt levit poolformer efficientnet timm_resnet timm_nfnet timm_efficientnet vision_densenet "
            "vision_squeezenet"
        ),
    },
    "normalization_free": {"it normalizes no activations": "timm_nfnet vision_squeezenet"},
    "recurrent_attention": {"it has no recurrent layer": _EVERY},
    "attention_heads": {
        "nothing in it attends": f"{_CONVOLUTIONS} fnet mamba timm_mixer {_OTHERS}"
    },
}
"""By technique and reason, the networks that an expert would not edit."""


def not_by_hand(net: str, technique: str) -> str | None:
    """Returns why an expert would not edit a network; `None` if one would."""
    for reason, nets in NOT_BY_HAND[technique].items():
        if net in nets.split():
            return reason
    return None
