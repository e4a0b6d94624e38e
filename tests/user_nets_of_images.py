"""More networks for gray images of 8 by 8 pixels, each in a style that surgery has to cope with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.data import ModelSpec


class LeNet(nn.Module):
    """Everything but weights by functions; flattened by `view`."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * 2 * 2, 24)
        self.fc2 = nn.Linear(24, 16)
        self.fc3 = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), (2, 2))
        x = x.view(-1, 16 * 2 * 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class PaddedBlock(nn.Module):
    """Its shortcut has no weights: it leaves out places and adds channels of zeros."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or channels_in != channels:
            more = (channels - channels_in) // 2
            self.shortcut = Lambda(
                lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more), "constant", 0)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class LambdaResNet(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(PaddedBlock(8, 8), PaddedBlock(8, 8))
        self.layer2 = nn.Sequential(PaddedBlock(8, 16, 2), PaddedBlock(16, 16))
        self.linear = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


class Shuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.size()
        g = self.groups
        return x.view(n, g, c // g, h, w).permute(0, 2, 1, 3, 4).reshape(n, c, h, w)


class ShuffleBlock(nn.Module):
    """Half of the channels pass; the rest goes through grouped convolutions; then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.ratio = 0.5
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, groups=2, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.shuffle = Shuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        c = int(x.size(1) * self.ratio)
        x1, x2 = x[:, :c, :, :], x[:, c:, :, :]
        out = F.relu(self.bn1(self.conv1(x2)))
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)))
        return self.shuffle(torch.cat([x1, out], 1))


class ShuffleNet(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(ShuffleBlock(16), ShuffleBlock(16))
        self.conv2 = nn.Conv2d(16, 24, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(24)
        self.linear = nn.Linear(24, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        out = F.relu(self.bn2(self.conv2(self.layer1(out))))
        out = F.avg_pool2d(out, 4)
        return self.linear(out.view(out.size(0), -1))


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def drop_connect(x: Tensor, rate: float) -> Tensor:
    """In place, as it is often written."""
    keep = 1.0 - rate
    mask = torch.empty([x.shape[0], 1, 1, 1], dtype=x.dtype, device=x.device)
    mask.bernoulli_(keep)
    x.div_(keep)
    x.mul_(mask)
    return x


class EfficientSE(nn.Module):
    def __init__(self, channels: int, between: int) -> None:
        super().__init__()
        self.se1 = nn.Conv2d(channels, between, kernel_size=1, bias=True)
        self.se2 = nn.Conv2d(between, channels, kernel_size=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        out = F.adaptive_avg_pool2d(x, (1, 1))
        out = swish(self.se1(out))
        out = self.se2(out).sigmoid()
        return x * out


class EfficientBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int, drop_rate: float) -> None:
        super().__init__()
        self.stride, self.drop_rate = stride, drop_rate
        hidden = 2 * channels_in
        self.conv1 = nn.Conv2d(channels_in, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.se = EfficientSE(hidden, 4)
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.has_skip = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        out = swish(self.bn1(self.conv1(x)))
        out = swish(self.bn2(self.conv2(out)))
        out = self.se(out)
        out = self.bn3(self.conv3(out))
        if self.has_skip:
            if self.training and self.drop_rate > 0:
                out = drop_connect(out, self.drop_rate)
            out = out + x
        return out


class EfficientNet(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layers = nn.Sequential(
            EfficientBlock(8, 8, 1, 0.1),
            EfficientBlock(8, 8, 1, 0.1),
            EfficientBlock(8, 12, 2, 0.1),
        )
        self.linear = nn.Linear(12, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(swish(self.bn1(self.conv1(x))))
        out = F.adaptive_avg_pool2d(out, 1).view(x.size(0), -1)
        if self.training:
            out = F.dropout(out, p=0.2)
        return self.linear(out)


class WideBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.drop_rate = 0.1
        self.equal_in_out = channels_in == channels
        self.conv_shortcut = (
            None if self.equal_in_out else nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.equal_in_out:
            x = self.relu1(self.bn1(x))
        else:
            out = self.relu1(self.bn1(x))
        out = self.relu2(self.bn2(self.conv1(out if self.equal_in_out else x)))
        if self.drop_rate > 0:
            out = F.dropout(out, p=self.drop_rate, training=self.training)
        out = self.conv2(out)
        return torch.add(x if self.conv_shortcut is None else self.conv_shortcut(x), out)


class WideStage(nn.Module):
    def __init__(self, count: int, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            *[
                WideBlock(channels_in if i == 0 else channels, channels, stride if i == 0 else 1)
                for i in range(count)
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.block1 = WideStage(2, 8, 12, 1)
        self.block2 = WideStage(2, 12, 16, 2)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(16, spec.num_outputs)
        self.channels = 16

    def forward(self, x: Tensor) -> Tensor:
        out = self.block2(self.block1(self.conv1(x)))
        out = F.avg_pool2d(self.relu(self.bn1(out)), 4)
        return self.fc(out.view(-1, self.channels))


class Convs(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Attributes(nn.Module):
    """Blocks are attributes, called one by one."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block1 = Convs(8)
        self.block2 = Convs(8)
        self.pool = nn.MaxPool2d(2)
        self.block3 = Convs(8)
        self.head = nn.Linear(8 * 4 * 4, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(self.stem(x))
        x = self.pool(self.block2(x))
        x = self.block3(x)
        return self.head(x.flatten(1))


class Inception(nn.Module):
    def __init__(self, channels: int, a: int, b: int, c: int) -> None:
        super().__init__()
        self.b1 = nn.Sequential(nn.Conv2d(channels, a, 1), nn.BatchNorm2d(a), nn.ReLU(True))
        self.b2 = nn.Sequential(
            nn.Conv2d(channels, 4, 1), nn.BatchNorm2d(4), nn.ReLU(True),
            nn.Conv2d(4, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(True),
        )  # fmt: skip
        self.b3 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(channels, c, 1), nn.BatchNorm2d(c), nn.ReLU(True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y1, y2, y3 = self.b1(x), self.b2(x), self.b3(x)
        return torch.cat([y1, y2, y3], 1)


class GoogLeNet(nn.Module):
    """Branches beside each other; returns what it predicts and the features behind it."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.a3 = Inception(8, 4, 8, 4)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.b3 = Inception(16, 4, 8, 4)
        self.avgpool = nn.AvgPool2d(4, stride=1)
        self.linear = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.maxpool(self.a3(self.pre(x)))
        out = self.avgpool(self.b3(out))
        features = out.view(out.size(0), -1)
        return self.linear(features), features


class PreActBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.fc1 = nn.Conv2d(channels, 4, kernel_size=1)
        self.fc2 = nn.Conv2d(4, channels, kernel_size=1)
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        w = F.avg_pool2d(out, out.size(2))
        w = F.relu(self.fc1(w))
        w = torch.sigmoid(self.fc2(w))
        out = out * w
        out += shortcut
        return out


class SENet(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(8, 8, 2, 1)
        self.layer2 = self._make_layer(8, 16, 2, 2)
        self.linear = nn.Linear(16, spec.num_outputs)

    @staticmethod
    def _make_layer(channels_in: int, channels: int, count: int, stride: int) -> nn.Sequential:
        strides = [stride] + [1] * (count - 1)
        layers = []
        for each in strides:
            layers.append(PreActBlock(channels_in, channels, each))
            channels_in = channels
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.avg_pool2d(self.layer2(self.layer1(out)), 4)
        return self.linear(out.view(out.size(0), -1))


class GroupedBlock(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + x)


class ResNeXt(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.blocks = nn.ModuleList([GroupedBlock(16, 4) for _ in range(2)])
        self.linear = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        for i in range(len(self.blocks)):
            out = self.blocks[i](out)
        return self.linear(out.mean(dim=[2, 3]))


class Recursive(nn.Module):
    """One convolution, applied again and again."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU()
        self.out = nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        for _ in range(3):
            x = self.act(self.again(x))
        return self.out(x.amax((2, 3)))


class GatedConvs(nn.Module):
    """Gates from halves of the channels."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 24, 3, padding=1, stride=2)
        self.fc = nn.Linear(12, 16)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.conv1(x).chunk(2, dim=1)
        x = F.glu(self.conv2(a * torch.sigmoid(b)), dim=1)
        x = F.elu(self.fc(x.mean((-1, -2))))
        return self.out(x)


class LayerNorm2d(nn.Module):
    """Of a map's channels at each place, written out."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class OwnGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class OwnNormBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.act = OwnGELU()
        self.conv2 = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.conv1(self.norm(x))))


class OwnNorms(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 2, 2), LayerNorm2d(8))
        self.stage1, self.stage2 = OwnNormBlock(8), OwnNormBlock(8)
        self.head = nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.stage1(self.stem(x)))
        return self.head(x.mean([-2, -1]))


class Affine(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * x + self.beta


class ResMLPBlock(nn.Module):
    def __init__(self, dim: int, tokens: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Affine(dim), Affine(dim)
        self.attn = nn.Linear(tokens, tokens)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.gamma_1 = nn.Parameter(0.1 * torch.ones(dim))
        self.gamma_2 = nn.Parameter(0.1 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma_1 * self.attn(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.gamma_2 * self.mlp(self.norm2(x))


class ResMLP(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, 16, 2, 2)
        self.blocks = nn.ModuleList([ResMLPBlock(16, 16) for _ in range(2)])
        self.norm = Affine(16)
        self.head = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        for _, block in enumerate(self.blocks):
            x = block(x)
        return self.head(self.norm(x).mean(dim=1).reshape(x.shape[0], -1))


class Highway(nn.Module):
    """Gates decide how much of each layer passes; its layers are two lists side by side."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.inp = nn.Linear(64, 16)
        self.linear = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
        self.gate = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x.reshape(len(x), -1))
        for linear, gate in zip(self.linear, self.gate, strict=True):
            g = torch.sigmoid(gate(x))
            x = g * F.relu(linear(x)) + (1 - g) * x
        return self.out(x)


class DictMLP(nn.Module):
    """Layers in a `ModuleDict`, called by a lambda."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(64, 24), "c_proj": nn.Linear(24, 24), "act": OwnGELU(),
                "dropout": nn.Dropout(0.1),
            }
        )  # fmt: skip
        m = self.mlp
        self.mlpf = lambda x: m.dropout(m.c_proj(m.act(m.c_fc(x))))
        self.out = nn.Linear(24, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mlpf(x.flatten(1)))


NETS: dict[str, type[nn.Module]] = {
    "lenet": LeNet,
    "lambda_resnet": LambdaResNet,
    "shufflenet": ShuffleNet,
    "efficientnet": EfficientNet,
    "wide_resnet": WideResNet,
    "attributes": Attributes,
    "googlenet": GoogLeNet,
    "senet": SENet,
    "resnext": ResNeXt,
    "recursive": Recursive,
    "gated_convs": GatedConvs,
    "own_norms": OwnNorms,
    "resmlp": ResMLP,
    "highway": Highway,
    "dict_mlp": DictMLP,
}
