"""Gradient boosting of small networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pawl.data.types import ModelSpec
from pawl.kinds import KINDS
from pawl.models import BoostedNets, Encoder, Learned
from pawl.techniques.architecture.piecewise_linear import bin_edges
from pawl.techniques.learning import (
    as_numbers,
    fewest_outputs,
    fits_tables,
    number_columns,
    one_thread,
    scales,
    some,
    vectors,
)
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.values import FitRows

_MOST_ROWS, _MOST_SEEN = 100_000, 50_000_000
"""Of more rows, or more numbers of all rows, some rows are taken, evenly."""
_MOST_BINNED = 256
"""With more numbers none has bins."""
_BATCH, _LEAST = 256, 1e-3


class BoostedNetsSettings(Settings):
    """Settings of `boosted_nets`."""

    rounds: int = number(60, 0, 1000, "most networks")
    shrinkage: float = number(0.3, 0.01, 1.0, "what a network counts", log=True)
    units: int = number(32, 4, 256, "hidden units of a network", log=True)
    steps: int = number(20, 1, 500, "steps that a network trains, of 256 rows each", log=True)
    learning_rate: float = number(0.01, 1e-4, 0.1, "AdamW's", log=True)
    weight_decay: float = number(1e-2, 0.0, 1.0, "AdamW's")
    bins: int = number(8, 2, 32, "bins that each number is seen by", log=True)
    patience: int = number(8, 1, 100, "networks without a better loss after which it stops")


def module(spec: ModelSpec, settings: Any) -> Learned:
    """Returns a module without networks: one output for two classes, else one for each."""
    del settings
    outputs = fewest_outputs(spec)
    numbers = number_columns(spec)
    binned = numbers if 0 < len(numbers) <= _MOST_BINNED else (0,)
    return Learned(Encoder(spec.inputs, one_hot=True), BoostedNets(outputs, binned), "identity")


@one_thread()
@torch.enable_grad()
def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Adds networks, each trained on the loss of what those before it say together with it."""
    core = learned.core
    assert isinstance(core, BoostedNets)
    kind, outputs = KINDS[rows.kind], len(core.base)
    rows = some(rows, _most(learned.encoder, rows, core, settings.bins))
    generator = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(vectors(learned.encoder, rows.inputs))
    weights = torch.ones(len(x)) if rows.weights is None else rows.weights / rows.weights.mean()
    _start(core, x, settings.bins)
    core.base = _base(rows, outputs, weights)
    seen = core.seen(x)
    said = core.base.expand(len(x), -1).clone()
    judged = None
    if rows.stopping is not None:
        other = core.seen(torch.from_numpy(vectors(learned.encoder, rows.stopping[0])))
        others_said = core.base.expand(len(other), -1).clone()
        judged = rows.stopping[1]

    def losses(raw: Tensor, targets: Tensor) -> Tensor:
        found = kind.outputs(raw, outputs)
        assert found is not None
        return kind.loss(found, targets)

    best = math.inf if judged is None else float(losses(others_said, judged).mean())
    networks: list[tuple[Tensor, Tensor, Tensor]] = []
    count = 0
    for _ in range(settings.rounds):
        beat()
        network = _drawn(seen.shape[1], settings.units, outputs, generator)
        optimizer = torch.optim.AdamW(
            network, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        for _ in range(settings.steps):
            batch = torch.randint(len(x), (min(_BATCH, len(x)),), generator=generator)
            raw = said[batch] + _says(network, seen[batch])
            loss = (losses(raw, rows.targets[batch]) * weights[batch]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        first, constant, last = (tensor.detach() for tensor in network)
        fixed = first, constant, settings.shrinkage * last
        networks.append(fixed)
        said += _says(fixed, seen)
        if judged is None:
            count = len(networks)
            continue
        others_said += _says(fixed, other)
        value = float(losses(others_said, judged).mean())
        if value < best:
            best, count = value, len(networks)
        elif len(networks) - count >= settings.patience:
            break
    kept = networks[:count] or [
        (torch.zeros(seen.shape[1], 1), torch.zeros(1), torch.zeros(1, outputs))
    ]
    core.first = torch.cat([first for first, _, _ in kept], dim=1)
    core.constant = torch.cat([constant for _, constant, _ in kept])
    core.last = torch.cat([last for _, _, last in kept])
    core.rounds = torch.tensor(count)


def refit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Boosts anew for as many rounds as the module has, on rows among which are those it stopped by."""
    core = learned.core
    assert isinstance(core, BoostedNets)
    fit(learned, rows, settings.model_copy(update={"rounds": int(core.rounds)}), seed, beat)


def _most(encoder: Encoder, rows: FitRows, core: BoostedNets, bins: int) -> int:
    """Returns how many rows are learned from, by what networks see of each."""
    few = rows.take(torch.arange(1)).inputs
    columns: int = vectors(encoder, few).shape[1] + len(core.numbers) * bins
    return min(_MOST_ROWS, _MOST_SEEN // columns)


def _start(core: BoostedNets, x: Tensor, bins: int) -> None:
    """Scales rows `[R, D]`, and sets the bins of their numbers, by quantiles."""
    core.shift, core.scale = scales(x)
    scaled = ((x - core.shift) * core.scale).double().numpy()
    core.low, width = torch.zeros(2, len(core.numbers), bins)
    for place, column in enumerate(core.numbers):
        edges = torch.from_numpy(bin_edges(scaled[:, column], bins))
        core.low[place, : len(edges) - 1] = edges[:-1]
        width[place, : len(edges) - 1] = edges.diff()
    core.width = torch.where(width > 0, 1.0 / width, 0.0)


def _base(rows: FitRows, outputs: int, weights: Tensor) -> Tensor:
    """Returns what is said without networks, `[O]`: the mean, or what makes the classes' shares."""
    kind = KINDS[rows.kind]
    classes = 2 if rows.kind == "binary" else outputs
    mean = np.average(as_numbers(rows, classes), axis=0, weights=weights.numpy())
    if not kind.has_classes:
        return torch.from_numpy(mean).float()
    likely = torch.from_numpy(mean).clamp(_LEAST, 1.0 - _LEAST)
    raw = likely.log() if kind.exclusive else likely.logit()
    return (raw[1:] - raw[:1] if rows.kind == "binary" else raw).float()


def _drawn(seen: int, units: int, outputs: int, generator: torch.Generator) -> list[Tensor]:
    """Returns a network that says nothing yet: `[D + F K, H]`, `[H]` and `[H, O]`."""
    bound = 1.0 / math.sqrt(seen)
    first = (2.0 * torch.rand(seen, units, generator=generator) - 1.0) * bound
    constant = (2.0 * torch.rand(units, generator=generator) - 1.0) * bound
    network = [first, constant, torch.zeros(units, outputs)]
    return [tensor.requires_grad_() for tensor in network]


def _says(network: Sequence[Tensor], seen: Tensor) -> Tensor:
    first, constant, last = network
    return F.relu(seen @ first + constant) @ last


TECHNIQUE = FitTechnique(
    name="boosted_nets",
    summary="Boosting of small networks: each mends what those before it got wrong.",
    reference="Badirli et al., Gradient Boosting Neural Networks: GrowNet, 2020; Friedman, Greedy "
    "Function Approximation: A Gradient Boosting Machine, 2001",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=BoostedNetsSettings,
    stops=True,
    refit=refit,  # type: ignore[arg-type]
    fits=fits_tables,
)
