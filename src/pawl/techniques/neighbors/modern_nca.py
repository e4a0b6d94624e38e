"""Neighbors by a distance that is learned: small ModernNCA."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pawl.data.types import ModelSpec
from pawl.kinds import KINDS, KindName
from pawl.models import Encoder, Learned, Neighborhood
from pawl.models.neighborhood import distances
from pawl.techniques.learning import (
    as_numbers,
    fits_tables,
    number_columns,
    one_thread,
    probable,
    scales,
    some,
    vectors,
)
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.values import FitRows

_MOST_ROWS, _MOST_JUDGED, _MOST_LOOKED_AT = 100_000, 1000, 1500
"""Of more rows some are taken, evenly; so are those to stop by, and the candidates that say when."""
_MOST_WAVED = 256
"""With more numbers none has waves."""
_WAVES, _MIXED, _DEVIATION = 16, 8, 0.05
_BATCH, _BETWEEN = 128, 20
_LEAST = 1e-6


class ModernNCASettings(Settings):
    """Settings of `modern_nca`."""

    steps: int = number(600, 20, 5000, "most steps, each of a batch of 128 rows", log=True)
    learning_rate: float = number(0.01, 1e-4, 0.1, "AdamW's", log=True)
    weight_decay: float = number(2e-4, 0.0, 0.1, "AdamW's")
    width: int = number(64, 8, 512, "numbers of an embedded row", log=True)
    sample: int = number(250, 16, 4000, "rows that a batch is compared with", log=True)
    candidates: int = number(4000, 16, 20_000, "most rows that are kept to predict by", log=True)
    patience: int = number(
        6, 1, 100, "looks, one each 20 steps, without a better loss to stop after"
    )


def module(spec: ModelSpec, settings: Any) -> Learned:
    """Returns a module that keeps one row, of zeros."""
    del settings
    numbers = number_columns(spec)
    waved = numbers if 0 < len(numbers) <= _MOST_WAVED else (0,)
    core = Neighborhood(spec.num_outputs, waved, _WAVES, _MIXED)
    return Learned(Encoder(spec.inputs, one_hot=True), core, probable(spec))


@one_thread()
@torch.enable_grad()
def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Trains the embedding, each batch compared with rows drawn anew; then keeps candidates.

    Of the steps it keeps those with the best loss on the rows to stop by, if there are any.
    """
    core = learned.core
    assert isinstance(core, Neighborhood)
    if rows.weights is not None:  # what counts nothing is no neighbor
        rows = rows.take(rows.weights.nonzero().flatten())
    rows = some(rows, _MOST_ROWS)
    generator = torch.Generator().manual_seed(seed)
    x = torch.from_numpy(vectors(learned.encoder, rows.inputs))
    values = torch.from_numpy(as_numbers(rows, core.values.shape[1])).float()
    weights = torch.ones(len(x)) if rows.weights is None else rows.weights / rows.weights.mean()
    _start(core, x, settings.width, generator)
    kept = _candidates(rows, settings.candidates, seed)
    few = kept[torch.linspace(0, len(kept) - 1, min(len(kept), _MOST_LOOKED_AT)).long()]
    judged = None
    if rows.stopping is not None:
        inputs, targets = rows.stopping
        others = some(FitRows(rows.kind, inputs, targets), _MOST_JUDGED)
        seen = torch.from_numpy(vectors(learned.encoder, others.inputs))
        judged = seen, torch.from_numpy(as_numbers(others, values.shape[1])).float()
    trained = {name: getattr(core, name) for name in ("frequency", "mix", "constant", "weight")}
    for tensor in trained.values():
        tensor.requires_grad_()
    optimizer = torch.optim.AdamW(
        trained.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    best, found, stale = math.inf, _copied(trained), 0
    steps = 0
    for step in range(1, settings.steps + 1 if len(x) > 1 else 1):
        beat()
        batch = torch.randint(len(x), (min(_BATCH, len(x)),), generator=generator)
        compared = torch.randperm(len(x), generator=generator)[: settings.sample]
        loss = _loss(core, x, values, weights, batch, compared, rows.kind)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if judged is None:
            steps = step
        elif step % _BETWEEN == 0 or step == settings.steps:
            with torch.no_grad():
                _keep(core, x[few], values[few], weights[few])
                value = float(_losses(core(judged[0]), judged[1], rows.kind).mean())
            stale += 1
            if value < best:
                best, found, stale, steps = value, _copied(trained), 0, step
            if stale >= settings.patience:
                break
    for name, tensor in (trained if judged is None else found).items():
        setattr(core, name, tensor.detach().clone())
    _keep(core, x[kept], values[kept], weights[kept])
    core.steps = torch.tensor(steps)


def refit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Trains anew for as many steps as the module was, on rows among which are those it stopped by."""
    core = learned.core
    assert isinstance(core, Neighborhood)
    steps = max(1, int(core.steps))
    fit(learned, rows, settings.model_copy(update={"steps": steps}), seed, beat)


def _start(core: Neighborhood, x: Tensor, width: int, generator: torch.Generator) -> None:
    """Draws first weights, and scales the rows' numbers, `[R, D]`."""
    features = len(core.numbers)
    waves, mixed = core.mix.shape[0] // 2, core.mix.shape[1]
    core.shift, core.scale = scales(x)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2.0 - 1.0

    core.frequency = _DEVIATION * torch.randn(features, waves, generator=generator)
    core.mix = drawn(2 * waves, mixed) / math.sqrt(2 * waves)
    core.constant = drawn(mixed) / math.sqrt(2 * waves)
    wide = x.shape[1] + features * mixed
    core.weight = drawn(wide, width) / math.sqrt(wide)


def _candidates(rows: FitRows, most: int, seed: int) -> Tensor:
    """Returns places of at most so many rows, in random order of as many of each stratum as it has."""
    count = len(rows.targets)
    if count <= most:
        return torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    strata = torch.from_numpy(KINDS[rows.kind].strata(rows.targets[order], most))
    return order[strata.argsort(stable=True)][torch.linspace(0, count - 1, most).long()]


def _keep(core: Neighborhood, x: Tensor, values: Tensor, weights: Tensor) -> None:
    """Keeps candidates, `[C, D]`, `[C, O]` and `[C]`, as they are embedded now."""
    with torch.no_grad():
        core.keys, core.values, core.tilt = core.embed(x), values.clone(), weights.log()


def _loss(
    core: Neighborhood,
    x: Tensor,
    values: Tensor,
    weights: Tensor,
    batch: Tensor,
    others: Tensor,
    kind: KindName,
) -> Tensor:
    """Returns a batch's loss, `[]`: what it would be predicted by the others without itself."""
    z = core.embed(x[torch.cat([batch, others])])
    logits = weights[others].log() - distances(z[: len(batch)], z[len(batch) :])
    logits = logits.masked_fill(batch.unsqueeze(1) == others, -torch.inf)
    losses = _losses(logits.softmax(1) @ values[others], values[batch], kind)
    return (losses * weights[batch]).mean()


def _losses(found: Tensor, wanted: Tensor, kind: KindName) -> Tensor:
    """Returns each row's loss, `[B]`, of probabilities or values `[B, O]`."""
    if not KINDS[kind].has_classes:
        return (found - wanted).square().mean(1)
    likely = found.clamp(_LEAST, 1.0 - _LEAST)
    if KINDS[kind].exclusive:
        return -(wanted * likely.log()).sum(1)
    return -(wanted * likely.log() + (1.0 - wanted) * (1.0 - likely).log()).mean(1)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


TECHNIQUE = FitTechnique(
    name="modern_nca",
    summary="The mean of training rows by a learned distance, near ones counting more.",
    reference="Ye, Yin, Zhan and Chao, Revisiting Nearest Neighbor for Tabular Data: A Deep Tabular "
    "Baseline Two Decades Later (ModernNCA), ICLR 2025; after Goldberger et al., Neighbourhood "
    "Components Analysis, 2004",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=ModernNCASettings,
    stops=True,
    refit=refit,  # type: ignore[arg-type]
    fits=fits_tables,
)
