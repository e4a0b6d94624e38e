"""Channels and units taken out of a network, a few at a time, with fine-tuning between."""

from __future__ import annotations

import copy
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.distilling import soft_labels
from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment import check_parity
from pawl.deployment.rebuilding import rebuilt
from pawl.errors import BundleError, first_line
from pawl.kinds import KINDS
from pawl.models import Deployed, Pipeline, dropouts, outputs, predicts_several_times
from pawl.training.trained import Part, Trained

STEP = "prune"
_ROUNDS, _SHARE, _ROUND_TO = 6, 0.9, 8
_MOST_FAILED, _MOST_TRIED = 2, 3
"""Rounds in a row that do not seem good enough, behind which there are no more; and candidates."""
_STEPS, _BATCH, _RATE = 200, 64, 1e-3
"""Of fine-tuning after each round."""
_TIME_KEPT = 0.5
"""Of the seconds left, where these are limited, those that rounds leave to the other steps."""
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def pruned(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes a network without its least channels or units, the smallest that seems good enough last.

    Units that depend on each other go together (Fang et al., DepGraph, 2023), those of the least norm
    first, in six rounds up to 90% of a layer, in multiples of 8. After each the network is fine-tuned,
    by AdamW with a rate that falls to 0, on labels as for a taught network.

    Args:
        work: Rows and measures.
        current: What it starts from: one network, whose modules can be built anew.

    Returns:
        At most three candidates, or why there are none.
    """
    if refused := _unfit(work, current):
        return refused
    found: list[tuple[float, Trained]] = []
    rounds, failed, started = 0, 0, time.monotonic()
    least = _TIME_KEPT * (work.left() or 0.0)
    try:
        for share, trained in _rounds(work, current):
            rounds += 1
            left, each = work.left(), (time.monotonic() - started) / rounds
            predicted = trained.predict(work.choices, torch.device("cpu")).numpy()
            failed += 1
            if work.judge(predicted).passed:
                found.append((share, _copied(trained)))
                failed = 0
            if failed == _MOST_FAILED or (left is not None and left - each < least):
                break
    except BundleError as error:
        if not found:
            return str(error)
    if not rounds:
        return f"its layers are too narrow: units are left in multiples of {_ROUND_TO}"
    if not found:
        return "on the rows for choices even the least pruned network loses too much"
    tried = found[:: -max(1, round(len(found) / _MOST_TRIED))][:_MOST_TRIED]
    return [_candidate(work, current, share, trained) for share, trained in reversed(tried)]


def _unfit(work: Work, current: Candidate) -> str | None:
    """Says why there is no network to prune."""
    if len(current.weights.parts) > 1:
        return "several models are left; one network can be pruned"
    if current.weights.recipes[0].learner is not None:
        return "what is left is no network"
    if not current.is_exact:
        return "the bundle's modules cannot be built anew"
    if KINDS[work.schema.kind].has_places:
        return "it is for targets of a row, and here they lie on places of it"
    if importlib.util.find_spec("torch_pruning") is None:
        return "torch-pruning is not installed; pip install 'pawl[compress]' brings it"
    return None


def _rounds(work: Work, current: Candidate) -> Iterator[tuple[float, Trained]]:
    """Yields the network after each round, with the share of weights that are left; it is one object.

    Raises:
        BundleError: It cannot be built anew, or what depends on what in it is not seen.
    """
    import torch_pruning  # noqa: PLC0415  (an extra)

    pipeline = _module(work, current)
    member = _network(pipeline)
    if predicts_several_times(member.body):
        raise BundleError("the network holds several in one, whose units cannot be told apart")
    for parameter in member.body.parameters():
        parameter.requires_grad_(True)
    rows = work.rows.take(torch.arange(4) % len(work.rows))
    example = tuple(rows.inputs[name] for name in member.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape = member(*example).shape
            pruner = torch_pruning.pruner.BasePruner(
                member, example, forward_fn=lambda module, given: module(*given),
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=_SHARE, iterative_steps=_ROUNDS, round_to=_ROUND_TO,
                ignored_layers=[_last_layer(member, example)],
            )  # fmt: skip
            whole = left = sum(p.numel() for p in member.parameters())
            for number in range(_ROUNDS):
                pruner.step()
                if member(*example).shape != shape:
                    raise ValueError("its outputs would change")
                before, left = left, sum(p.numel() for p in member.parameters())
                if left < before:
                    _fine_tuned(work, member, number)
                    yield left / whole, Trained((_part(current),), pipeline)
        except Exception as error:  # whatever a network does that the pruner does not follow
            raise BundleError(f"the network cannot be pruned ({first_line(error)})") from error


def _module(work: Work, current: Candidate) -> Pipeline:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(current.weights.to_bytes())
        return rebuilt(work.schema, current.graph, str(path), work.model, work.start)


def _network(pipeline: Pipeline) -> Deployed:
    if isinstance(pipeline, Deployed):
        return pipeline
    (member,) = pipeline.members
    assert isinstance(member, Deployed)
    return member


def _last_layer(member: Deployed, example: tuple[Tensor, ...]) -> nn.Module:
    """Returns the layer that is called last, whose units are the outputs."""
    called: list[nn.Module] = []
    layers = [each for each in member.body.modules() if isinstance(each, _LAYERS)]
    handles = [
        each.register_forward_hook(lambda module, *_: called.append(module)) for each in layers
    ]
    member(*example)
    for handle in handles:
        handle.remove()
    if not called:
        raise ValueError("it has no layers that are known")
    return called[-1]


def _fine_tuned(work: Work, member: Deployed, number: int) -> None:
    """Trains a network's body in place, on the mean of targets and the teacher's predictions."""
    kind, rows, body = KINDS[work.schema.kind], work.rows, member.body
    labels = soft_labels(work, rows.known_targets, work.taught)
    if kind.scaled:
        labels = (labels - member.get_buffer("target_mean")) / member.get_buffer("target_std")
    generator = torch.Generator().manual_seed(work.seed + number)
    size = min(_BATCH, len(rows))
    optimizer = torch.optim.AdamW(body.parameters(), lr=_RATE)
    schedule = CosineAnnealingLR(optimizer, _STEPS)
    body.train()
    for dropout in dropouts(body):
        dropout.eval()
    order = torch.empty(0, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(work.seed + number)
        for _ in range(_STEPS):
            if len(order) < size:
                order = torch.randperm(len(rows), generator=generator)
            batch, order = order[:size], order[size:]
            out = outputs(body(_seen(member, rows, batch)), kind, member.num_outputs)
            soft = labels[batch] if kind.has_classes else None
            targets = rows.known_targets[batch] if kind.has_classes else labels[batch]
            optimizer.zero_grad()
            kind.loss(out, targets, soft).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    member.eval()


def _seen(member: Deployed, rows: Examples, batch: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(member.front({name: rows.inputs[name][batch] for name in member.names}))


def _part(current: Candidate) -> Part:
    return Part(current.weights.recipes[0], int(current.weights.parts[0]["seed"]))


def _copied(trained: Trained) -> Trained:
    return replace(trained, model=copy.deepcopy(trained.model))


def _candidate(work: Work, current: Candidate, share: float, trained: Trained) -> Candidate:
    for parameter in trained.model.parameters():
        parameter.grad = None
    graph = trained.graph(work.rows.take(torch.arange(4) % len(work.rows)))
    check_parity(trained, graph, work.choices)
    weights = Weights(trained.tensors(), current.weights.parts)
    widths = [
        int(np.asarray(each.weight.shape)[0])
        for each in trained.model.modules()
        if isinstance(each, _LAYERS)
    ]
    return Candidate(
        STEP, f"{share:.0%} of the weights left", graph, weights, {"units": widths}, is_exact=False
    )
