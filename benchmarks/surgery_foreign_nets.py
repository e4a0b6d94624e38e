"""Small networks of the package `transformers`, from configurations, with random weights.

Each is a function of a `ModelSpec`, as users write it. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import transformers as hf
from torch import Tensor, nn

from pawl.data import ModelSpec

Factory = Callable[[ModelSpec], nn.Module]
TOKENS, STEPS, ROWS = 60, 12, 160
_HEADS: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
_TWO: dict[str, Any] = {**_HEADS, "num_hidden_layers": 2}
_PATCHES: dict[str, Any] = {**_TWO, "image_size": 32, "patch_size": 8}
_WORDS: dict[str, Any] = {"vocab_size": TOKENS, "pad_token_id": 0}
_LLAMA: dict[str, Any] = {**_WORDS, **_TWO, "num_key_value_heads": 1, "max_position_embeddings": 32}


def _net(model: Any, config: Any, **settings: Any) -> Factory:
    """Returns what builds a classifier of a configuration."""
    return lambda spec: model(config(num_labels=spec.num_outputs, **settings))


class Encoded(nn.Module):
    """An encoder without a head of its own, as people give it one: its first output's mean, a layer.

    Args:
        encoder: Returns `last_hidden_state`, `[B, T, D]`.
        width: `D`.
        outputs: Units of the layer.
    """

    def __init__(self, encoder: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.encoder, self.classifier = encoder, nn.Linear(width, outputs)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Classifies token ids, `[B, T]`."""
        states = self.encoder(input_ids=input_ids).last_hidden_state
        return self.classifier(states.mean(1))  # type: ignore[no-any-return]


def _t5(spec: ModelSpec) -> nn.Module:
    config = hf.T5Config(
        **_WORDS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.1
    )
    return Encoded(hf.T5EncoderModel(config), 16, spec.num_outputs)


def _mamba(spec: ModelSpec) -> nn.Module:
    config = hf.MambaConfig(
        **_WORDS, hidden_size=16, state_size=4, num_hidden_layers=2, use_cache=False
    )
    return Encoded(hf.MambaModel(config), 16, spec.num_outputs)


IMAGES: dict[str, Factory] = {
    "vit": _net(hf.ViTForImageClassification, hf.ViTConfig, **_PATCHES),
    "dinov2": _net(hf.Dinov2ForImageClassification, hf.Dinov2Config, **_PATCHES),
    "swin": _net(
        hf.SwinForImageClassification, hf.SwinConfig,
        image_size=32, patch_size=4, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4,
    ),
    "pvt": _net(
        hf.PvtForImageClassification, hf.PvtConfig,
        image_size=32, num_encoder_blocks=2, depths=[1, 1], hidden_sizes=[8, 16], patch_sizes=[4, 2],
        strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], sequence_reduction_ratios=[2, 1],
    ),
    "levit": _net(
        hf.LevitForImageClassification, hf.LevitConfig,
        image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 2, 2], depths=[1, 1, 1],
        key_dim=[8, 8, 8],
    ),
    "mobilevit": _net(
        hf.MobileViTForImageClassification, hf.MobileViTConfig,
        image_size=32, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 12, 12, 12, 32],
        num_attention_heads=2, expand_ratio=2.0,
    ),
    "poolformer": _net(
        hf.PoolFormerForImageClassification, hf.PoolFormerConfig,
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], mlp_ratio=2.0,
    ),
    "convnext": _net(
        hf.ConvNextForImageClassification, hf.ConvNextConfig,
        depths=[1, 2, 1], hidden_sizes=[8, 12, 16], num_stages=3,
    ),
    "convnextv2": _net(
        hf.ConvNextV2ForImageClassification, hf.ConvNextV2Config,
        depths=[1, 2, 1], hidden_sizes=[8, 12, 16], num_stages=3,
    ),
    "resnet": _net(
        hf.ResNetForImageClassification, hf.ResNetConfig,
        embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic",
    ),
    "mobilenet_v2": _net(
        hf.MobileNetV2ForImageClassification, hf.MobileNetV2Config,
        image_size=32, depth_multiplier=0.25, min_depth=4, expand_ratio=2,
    ),
    "efficientnet": _net(
        hf.EfficientNetForImageClassification, hf.EfficientNetConfig,
        image_size=32, width_coefficient=0.25, depth_coefficient=1.0, hidden_dim=320,
        in_channels=[32, 16, 24], out_channels=[16, 24, 40], kernel_sizes=[3, 3, 5], strides=[1, 2, 2],
        num_block_repeats=[1, 2, 2], expand_ratios=[1, 2, 2], depthwise_padding=[],
    ),
}  # fmt: skip
"""Of images of 32 by 32 in color."""

TEXTS: dict[str, Factory] = {
    "bert": _net(
        hf.BertForSequenceClassification, hf.BertConfig, **_WORDS, **_TWO, max_position_embeddings=32
    ),
    "distilbert": _net(
        hf.DistilBertForSequenceClassification, hf.DistilBertConfig,
        **_WORDS, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=32,
    ),
    "albert": _net(
        hf.AlbertForSequenceClassification, hf.AlbertConfig,
        **_WORDS, **_TWO, embedding_size=8, max_position_embeddings=32,
    ),
    "deberta_v2": _net(
        hf.DebertaV2ForSequenceClassification, hf.DebertaV2Config,
        **_WORDS, **_TWO, max_position_embeddings=32, relative_attention=True,
        pos_att_type=["p2c", "c2p"], position_buckets=8,
    ),
    "gpt2": _net(
        hf.GPT2ForSequenceClassification, hf.GPT2Config,
        **_WORDS, n_embd=16, n_layer=2, n_head=2, n_positions=32,
    ),
    "llama": _net(hf.LlamaForSequenceClassification, hf.LlamaConfig, **_LLAMA),
    "t5": _t5,
    "fnet": _net(
        hf.FNetForSequenceClassification, hf.FNetConfig,
        **_WORDS, hidden_size=16, num_hidden_layers=2, intermediate_size=32, max_position_embeddings=32,
    ),
    "xlnet": _net(
        hf.XLNetForSequenceClassification, hf.XLNetConfig,
        **_WORDS, d_model=16, n_layer=2, n_head=2, d_inner=32,
    ),
    "mamba": _mamba,
}  # fmt: skip
"""Of token ids, 12 each row."""

SERIES: dict[str, Factory] = {
    "patchtst": lambda spec: hf.PatchTSTForClassification(
        hf.PatchTSTConfig(
            num_input_channels=2, num_targets=spec.num_outputs, context_length=20, patch_length=5,
            patch_stride=5, d_model=16, num_attention_heads=2, ffn_dim=32, num_hidden_layers=2,
            use_cls_token=True,
        )
    ),
}  # fmt: skip
"""Of two channels over 20 steps."""

NETS: dict[str, Factory] = {**IMAGES, **TEXTS, **SERIES}


def data_of(net: str) -> Any:
    """Returns inputs by the names that the network's forward has, and targets in three classes."""
    generator = np.random.default_rng(11)
    targets = generator.integers(0, 3, ROWS)
    marks = np.arange(ROWS)
    if net in SERIES:
        series = generator.normal(size=(ROWS, 20, 2)).astype(np.float32)
        series[marks, 5 * targets, 0] += 4.0
        return {"past_values": series}, targets
    if net in TEXTS:
        tokens = generator.integers(4, TOKENS, (ROWS, STEPS))
        tokens[marks, generator.integers(0, STEPS, ROWS)] = 1 + targets
        return {"input_ids": tokens}, targets
    size = 64 if net == "levit" else 32
    pixels = generator.integers(0, 120, (ROWS, 3, size, size))
    for row, target in enumerate(targets):
        pixels[row, target, : size // 2] += 120
    return {"pixel_values": pixels.astype(np.uint8)}, targets
