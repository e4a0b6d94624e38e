"""Networks for rows of tokens, of pixels and of a table, in styles that surgery has to cope with.

`TOKENS` take five of seven words and say which comes next (`problems.words`), `ROWS` take images of 8 by
8 pixels as eight steps, `TABLES` take vectors.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets_of_images import OwnGELU

from pawl.data import ModelSpec

WORDS = 7


class BiasedLayerNorm(nn.Module):
    """Of its own class, by the function."""

    def __init__(self, dim: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class CausalSelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int, length: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(dim, 3 * dim)
        self.c_proj = nn.Linear(dim, dim)
        self.attn_dropout = nn.Dropout(0.1)
        self.n_head, self.n_embd = heads, dim
        mask = torch.tril(torch.ones(length, length)).view(1, 1, length, length)
        self.register_buffer("bias", mask)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        att = self.attn_dropout(F.softmax(att, dim=-1))
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.c_proj(y)


class GPTBlock(nn.Module):
    """Its MLP is a `ModuleDict` and a lambda."""

    def __init__(self, dim: int, heads: int, length: int) -> None:
        super().__init__()
        self.ln_1 = BiasedLayerNorm(dim, bias=False)
        self.attn = CausalSelfAttention(dim, heads, length)
        self.ln_2 = BiasedLayerNorm(dim, bias=True)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(dim, 2 * dim), "c_proj": nn.Linear(2 * dim, dim), "act": OwnGELU()}
        )
        m = self.mlp
        self.mlpf = lambda x: m.c_proj(m.act(m.c_fc(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlpf(self.ln_2(x))


class GPT(nn.Module):
    """Embedding and head are one weight; targets are optional, and it returns a loss beside logits."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        dim, length = 16, 5
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(WORDS, dim),
                "wpe": nn.Embedding(length, dim),
                "h": nn.ModuleList([GPTBlock(dim, 2, length) for _ in range(2)]),
                "ln_f": BiasedLayerNorm(dim, bias=True),
            }
        )
        self.lm_head = nn.Linear(dim, spec.num_outputs, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        pos = torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device)
        x = self.transformer.wte(idx) + self.transformer.wpe(pos)
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x)[:, -1])
        loss = None if targets is None else F.cross_entropy(logits, targets)
        return logits, loss


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x: Tensor) -> Tensor:
        return self._norm(x.float()).type_as(x) * self.weight


class LlamaAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, dim // heads
        self.wq, self.wk = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.wv, self.wo = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        bsz, seqlen, _ = x.shape
        xq, xk, xv = self.wq(x), self.wk(x), self.wv(x)
        xq, xk, xv = (each.view(bsz, seqlen, self.heads, self.width) for each in (xq, xk, xv))
        xq, xk = rotated(xq, cos, sin), rotated(xk, cos, sin)
        q, k, v = (each.transpose(1, 2) for each in (xq, xk, xv))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(out.transpose(1, 2).contiguous().view(bsz, seqlen, -1))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return x * cos + torch.cat((-x2, x1), dim=-1) * sin


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class LlamaBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention, self.feed_forward = LlamaAttention(dim, 2), FeedForward(dim, 24)
        self.attention_norm, self.ffn_norm = RMSNorm(dim), RMSNorm(dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = x + self.attention(self.attention_norm(x), cos, sin)
        return h + self.feed_forward(self.ffn_norm(h))


class Llama(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        dim, length = 16, 5
        self.tok_embeddings = nn.Embedding(WORDS, dim)
        self.layers = nn.ModuleList()
        for _ in range(2):
            self.layers.append(LlamaBlock(dim))
        self.norm = RMSNorm(dim)
        self.output = nn.Linear(dim, spec.num_outputs, bias=False)
        angles = torch.outer(torch.arange(length).float(), 0.1 ** torch.arange(4).float())
        angles = torch.cat([angles, angles], -1)[:, None, :]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.tok_embeddings(tokens)
        for layer in self.layers:
            h = layer(h, self.cos, self.sin)
        return self.output(self.norm(h)[:, -1, :])


class CharRNN(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.encoder = nn.Embedding(WORDS, 12)
        self.rnn = nn.LSTM(12, 16, num_layers=2, batch_first=True, dropout=0.1)
        self.drop = nn.Dropout(0.1)
        self.decoder = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        output, (_, _) = self.rnn(self.encoder(x))
        return self.decoder(self.drop(output[:, -1, :]))


class TextCNN(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, 12)
        self.convs = nn.ModuleList([nn.Conv2d(1, 8, (k, 12)) for k in (2, 3)])
        self.dropout = nn.Dropout(0.2)
        self.fc1 = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).unsqueeze(1)
        xs = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        xs = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in xs]
        return self.fc1(self.dropout(torch.cat(xs, 1)))


class GRUAttention(nn.Module):
    """Both directions, pooled by learned attention over steps."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.w = nn.Linear(16, 16)
        self.u = nn.Linear(16, 1, bias=False)
        self.fc = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.gru(x[:, 0])
        score = F.softmax(self.u(torch.tanh(self.w(h))), dim=1)
        return self.fc(F.relu((score * h).sum(1)))


class CellByCell(nn.Module):
    """Gates written out, step by step."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.hidden_size = 16
        self.x2h = nn.Linear(8, 4 * 16)
        self.h2h = nn.Linear(16, 4 * 16)
        self.mlp = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, spec.num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        steps = x.squeeze(1)
        h = torch.zeros(len(x), self.hidden_size, dtype=x.dtype, device=x.device)
        c = torch.zeros_like(h)
        for t in range(steps.size(1)):
            gates = self.x2h(steps[:, t]) + self.h2h(h)
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.mlp(h)


def clones(module: nn.Module, count: int) -> nn.ModuleList:
    return nn.ModuleList([copy.deepcopy(module) for _ in range(count)])


class AnnotatedNorm(nn.Module):
    def __init__(self, features: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(features))
        self.b_2 = nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.a_2 * (x - mean) / (std + self.eps) + self.b_2


class MultiHeadedAttention(nn.Module):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.d_k, self.h = dim // heads, heads
        self.linears = clones(nn.Linear(dim, dim), 4)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows = query.size(0)
        query, key, value = [
            lin(x).view(rows, -1, self.h, self.d_k).transpose(1, 2)
            for lin, x in zip(self.linears, (query, key, value), strict=False)
        ]
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.d_k)
        x = torch.matmul(scores.softmax(dim=-1), value)
        x = x.transpose(1, 2).contiguous().view(rows, -1, self.h * self.d_k)
        return self.linears[-1](x)


class Sublayer(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm, self.dropout = AnnotatedNorm(size), nn.Dropout(0.1)

    def forward(self, x: Tensor, sublayer: Any) -> Tensor:
        return x + self.dropout(sublayer(self.norm(x)))


class PositionwiseFeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.w_1(x).relu())


class AnnotatedLayer(nn.Module):
    """Passes lambdas to what is around them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadedAttention(2, size)
        self.feed_forward = PositionwiseFeedForward(size, 2 * size)
        self.sublayer = clones(Sublayer(size), 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sublayer[0](x, lambda x: self.self_attn(x, x, x))
        return self.sublayer[1](x, self.feed_forward)


class AnnotatedEncoder(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.layers = clones(AnnotatedLayer(16), 2)
        self.norm = AnnotatedNorm(16)
        self.generator = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1))
        for layer in self.layers:
            x = layer(x)
        return self.generator(self.norm(x).mean(1))


class StockEncoder(nn.Module):
    """PyTorch's encoder."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x.squeeze(1))).mean(1))


class NormedTCN(nn.Module):
    """Its convolutions are normalized by weight."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        wrap = nn.utils.parametrizations.weight_norm
        self.conv1 = wrap(nn.Conv1d(8, 12, 3, padding=2))
        self.conv2 = wrap(nn.Conv1d(12, 12, 3, padding=2))
        self.chomp = 2
        self.relu = nn.ReLU()
        self.linear = nn.Linear(12, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x[:, 0])[:, :, : -self.chomp].contiguous())
        x = self.relu(self.conv2(x)[:, :, : -self.chomp].contiguous()) + x
        return self.linear(x[:, :, -1])


class Tabular(nn.Module):
    """Functions around numbered layers."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.num_features, 24)
        self.bn1 = nn.BatchNorm1d(24)
        self.fc2 = nn.Linear(24, 24)
        self.bn2 = nn.BatchNorm1d(24)
        self.fc3 = nn.Linear(24, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.leaky_relu(self.bn1(self.fc1(x)), 0.2), p=0.3, training=self.training)
        x = F.dropout(F.leaky_relu(self.bn2(self.fc2(x)), 0.2), p=0.3, training=self.training)
        return self.fc3(x)


TOKENS: dict[str, type[nn.Module]] = {
    "gpt": GPT,
    "llama": Llama,
    "char_rnn": CharRNN,
    "text_cnn": TextCNN,
}
ROWS: dict[str, type[nn.Module]] = {
    "gru_attention": GRUAttention,
    "cell_by_cell": CellByCell,
    "annotated": AnnotatedEncoder,
    "stock_encoder": StockEncoder,
    "normed_tcn": NormedTCN,
}
TABLES: dict[str, type[nn.Module]] = {"tabular": Tabular}
