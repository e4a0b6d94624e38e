"""What an expert would say of each network and technique, written by hand, and the networks' styles.

A pair that isn't named in `NOT_BY_HAND` is one that an expert would edit by hand, in the source.
"""

from __future__ import annotations

STYLES = {
    "functions": (
        "resnet lenet lambda_resnet shufflenet efficientnet senet resnext mobilenet densenet tabular "
        "text_cnn unet"
    ),
    "modules": "vgg squeezenet mlp mixer convnext resmlp googlenet recursive",
    "modules and functions": "mobilenet wide_resnet lstm tcn normed_tcn",
    "swish of operators": "efficientnet unet",
    "own activation class": "own_norms dict_mlp gpt",
    "own normalization class": "own_norms annotated gpt llama resmlp",
    "tied weights": "gpt",
    "layer called several times": "recursive wide_resnet",
    "lambdas": "lambda_resnet dict_mlp gpt annotated",
    "several outputs": "googlenet gpt",
    "optional arguments": "gpt",
    "grouped and shuffled channels": "shufflenet resnext mobilenet convnext",
    "channels split and joined": "densenet squeezenet googlenet shufflenet unet gated_convs",
    "channels last": "convnext vit stock_vit mixer resmlp annotated stock_encoder gpt llama",
    "recurrent": "lstm char_rnn gru_attention cell_by_cell",
    "attention by function": "vit gpt llama annotated gru_attention",
    "attention by module": "stock_vit stock_encoder",
    "ModuleList in loops": "mobilenet vit stock_vit resnext resmlp llama annotated highway gpt",
    "blocks as attributes": "attributes own_norms googlenet",
    "ModuleDict": "dict_mlp gpt",
    "shortcut by +=": "resnet lambda_resnet senet",
    "shortcut by torch.add": "wide_resnet",
    "flattened by view": "resnet lenet lambda_resnet shufflenet wide_resnet senet efficientnet",
    "in place": "vgg squeezenet googlenet efficientnet wide_resnet",
    "parametrized weights": "normed_tcn",
    "branches on training": "efficientnet",
    "extra arguments to blocks": "llama",
}
"""Networks by what is special about them; one may stand in several."""

_NO_MAPS = "it has no maps"
_VECTORS = "its activations see vectors"
_ALREADY = "the model does so already"
_NO_RESIDUAL = "it has no residual blocks"
_NO_PART = "no part of it keeps its shape"
_AHEAD = "it would look at steps that are to come"
_ROWS = (
    "lstm gpt llama char_rnn text_cnn gru_attention cell_by_cell annotated stock_encoder tabular"
)
_PLAIN = "vgg squeezenet unet mlp lstm lenet shufflenet attributes googlenet recursive gated_convs"
_IMAGES = (
    "resnet vgg mobilenet squeezenet densenet convnext unet mixer tcn mlp lenet "
    "lambda_resnet shufflenet efficientnet wide_resnet attributes googlenet senet resnext recursive "
    "gated_convs own_norms resmlp highway dict_mlp"
)

NOT_BY_HAND: dict[str, dict[str, str]] = {
    "activation": {"its gates are the layer's own": "char_rnn"},
    "parametric_activation": {"its gates are the layer's own": "char_rnn"},
    "batch_norm": {
        _ALREADY: (
            "resnet vgg mobilenet densenet lambda_resnet shufflenet efficientnet wide_resnet attributes "
            "googlenet senet resnext tabular"
        )
    },
    "layer_norm": {_ALREADY: "convnext vit stock_vit mixer own_norms annotated stock_encoder gpt"},
    "rms_norm": {_ALREADY: "llama"},
    "group_norm": {_VECTORS: "lstm mlp highway dict_mlp tabular cell_by_cell char_rnn"},
    "instance_norm": {
        _VECTORS: "lstm mlp highway dict_mlp tabular cell_by_cell char_rnn",
        _AHEAD: "gpt llama",
    },
    "blocks": {_NO_PART: "unet lenet gated_convs text_cnn dict_mlp"},
    "residual": {
        _ALREADY: (
            "resnet mobilenet convnext vit stock_vit mixer tcn lambda_resnet wide_resnet senet resnext "
            "own_norms resmlp annotated stock_encoder gpt llama normed_tcn efficientnet highway densenet"
        ),
        _NO_PART: "unet lenet gated_convs text_cnn dict_mlp char_rnn gru_attention",
    },
    "stochastic_depth": {
        _NO_RESIDUAL: (
            f"{_PLAIN} densenet dict_mlp tabular char_rnn text_cnn gru_attention cell_by_cell"
        )
    },
    "layer_scale": {
        _NO_RESIDUAL: (
            f"{_PLAIN} densenet dict_mlp tabular char_rnn text_cnn gru_attention cell_by_cell highway"
        ),
        _ALREADY: "convnext resmlp",
    },
    "width": {},
    "separable": {
        "it has no standard convolution of several channels and places": (
            "mobilenet convnext vit stock_vit mixer mlp shufflenet efficientnet resmlp highway dict_mlp "
            f"resnext {_ROWS}"
        )
    },
    "dilation": {
        "it has no 3 by 3 convolution of a map that is large enough": (
            f"convnext vit stock_vit mixer mlp tcn own_norms resmlp highway dict_mlp {_ROWS}"
        )
    },
    "pooling": {
        "it has no pooling that leaves a map": (
            "resnet mobilenet convnext vit stock_vit mixer mlp tcn lambda_resnet efficientnet "
            "wide_resnet senet resnext recursive gated_convs own_norms resmlp highway dict_mlp "
            f"normed_tcn {_ROWS}"
        )
    },
    "global_pooling": {
        "it flattens no map": (
            "resnet mobilenet squeezenet densenet convnext vit stock_vit unet mixer mlp tcn "
            "lambda_resnet shufflenet efficientnet wide_resnet googlenet senet resnext recursive "
            f"gated_convs own_norms resmlp highway dict_mlp normed_tcn {_ROWS}"
        )
    },
    "squeeze_excite": {
        _NO_MAPS: "lstm mlp highway dict_mlp tabular cell_by_cell char_rnn gru_attention",
        _ALREADY: "senet efficientnet",
        _AHEAD: "gpt llama",
    },
    "self_attention": {
        _NO_MAPS: "mlp highway dict_mlp tabular cell_by_cell",
        _ALREADY: "vit stock_vit gpt llama annotated stock_encoder gru_attention",
    },
    "dropout": {},
    "initialization": {},
    "weight_tying": {
        "it has no embedding of its outputs' shape": (
            "resnet vgg mobilenet squeezenet densenet convnext vit stock_vit unet mixer mlp lstm tcn "
            "lenet lambda_resnet shufflenet efficientnet wide_resnet attributes googlenet senet resnext "
            "recursive gated_convs own_norms resmlp highway dict_mlp normed_tcn char_rnn text_cnn "
            "gru_attention cell_by_cell annotated stock_encoder tabular"
        ),
        _ALREADY: "gpt",
    },
    "hidden_head": {
        _ALREADY: "vgg mlp lstm lenet gated_convs highway dict_mlp cell_by_cell tabular",
        "its head is its embedding": "gpt",
    },
    "shared_blocks": {
        "it has no two blocks alike, one behind the other": (
            "vgg squeezenet densenet unet lstm lenet wide_resnet googlenet gated_convs dict_mlp "
            "gru_attention cell_by_cell normed_tcn tabular char_rnn text_cnn"
        ),
        _ALREADY: "recursive",
    },
    "normalization_free": {
        "it normalizes no activations": (
            "squeezenet lstm tcn mlp lenet recursive gated_convs highway dict_mlp char_rnn text_cnn "
            "gru_attention cell_by_cell normed_tcn"
        ),
        _ALREADY: "resmlp",
    },
    "recurrent_attention": {
        "nothing in it is recurrent": (
            f"{_IMAGES} vit stock_vit annotated stock_encoder normed_tcn tabular gpt llama text_cnn"
        )
    },
    "attention_heads": {
        "nothing in it attends": (
            f"{_IMAGES} lstm cell_by_cell normed_tcn tabular char_rnn text_cnn"
        ),
        "its attention has no heads": "gru_attention",
    },
}
"""By technique and reason, the networks that an expert would not edit."""


def not_by_hand(net: str, technique: str) -> str | None:
    """Returns why an expert would not edit a network; `None` if one would."""
    for reason, nets in NOT_BY_HAND[technique].items():
        if net in nets.split():
            return reason
    return None
