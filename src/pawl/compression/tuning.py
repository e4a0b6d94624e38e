"""Networks built anew, and their training: on labels, and if asked on another one's features.

AdamW with a rate that falls to 0, whatever the network was trained with before.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from pawl.compression.candidate import Weights
from pawl.compression.lessons import lessons
from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment.rebuilding import rebuilt
from pawl.kinds import KINDS
from pawl.models import Deployed, Pipeline, dropouts, outputs

if TYPE_CHECKING:
    from pawl.compression.features import Features

_STEPS, _BATCH, _RATE = 200, 64, 1e-3
_SEEN = 512
"""Rows whose gradients are asked for."""


def pipeline_of(work: Work, weights: Weights, graph: bytes | None = None) -> Pipeline:
    """Returns the modules of weights.

    Raises:
        BundleError: They cannot be built, or do not predict what the graph does, where one is given.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(weights.to_bytes())
        return rebuilt(work.schema, graph, str(path), work.model, work.start)


def network_of(pipeline: Pipeline, number: int = 0) -> Deployed:
    """Returns a member, or the only one there is."""
    if isinstance(pipeline, Deployed):
        return pipeline
    member = pipeline.members[number]
    assert isinstance(member, Deployed)
    return member


def tuned(
    work: Work, member: Deployed, number: int, features: Features | None = None, times: int = 1
) -> None:
    """Trains a network's body in place, on the mean of targets and the teacher's predictions.

    Args:
        work: Rows, and what is said of them.
        member: The network.
        number: Of the training: others draw other batches.
        features: Whose features are learned, too; `None` for predictions alone.
        times: How many times as long as usual.
    """
    rows, body, labels = lessons(work).rows, member.body, _labels(work, member)
    generator = torch.Generator().manual_seed(work.seed + number)
    size, steps = min(_BATCH, len(rows)), times * _STEPS
    more = [] if features is None else [*features.parameters()]
    optimizer = torch.optim.AdamW([*body.parameters(), *more], lr=_RATE)
    schedule = CosineAnnealingLR(optimizer, steps)
    body.train()
    for dropout in dropouts(body):
        dropout.eval()
    order = torch.empty(0, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(work.seed + number)
        for _ in range(steps):
            if len(order) < size:
                order = torch.randperm(len(rows), generator=generator)
            batch, order = order[:size], order[size:]
            optimizer.zero_grad()
            if features is None:
                loss = _loss(work, member, labels, batch)
            else:
                with features.listening() as heard:
                    loss = _loss(work, member, labels, batch)
                loss = loss + features(heard, rows, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    member.eval()


def gradients(work: Work, member: Deployed) -> None:
    """Leaves the loss's gradients of some rows in the parameters."""
    for parameter in member.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batch = torch.arange(min(_SEEN, len(work.rows)))
    _loss(work, member, _labels(work, member), batch).backward()  # type: ignore[no-untyped-call]


def seen(member: Deployed, rows: Examples, batch: Tensor) -> dict[str, Tensor]:
    """Returns what the body of a network sees of rows."""
    with torch.no_grad():
        return dict(member.front({name: rows.inputs[name][batch] for name in member.names}))


def _labels(work: Work, member: Deployed) -> Tensor:
    """Returns what is learned of the rows, as the body says it."""
    labels = lessons(work).labels
    if KINDS[work.schema.kind].scaled:
        labels = (labels - member.get_buffer("target_mean")) / member.get_buffer("target_std")
    return labels


def _loss(work: Work, member: Deployed, labels: Tensor, batch: Tensor) -> Tensor:
    kind, rows = KINDS[work.schema.kind], lessons(work).rows
    out = outputs(member.body(seen(member, rows, batch)), kind, member.num_outputs)
    soft = labels[batch] if kind.has_classes else None
    targets = rows.known_targets[batch] if kind.has_classes else labels[batch]
    return kind.loss(out, targets, soft).mean()
