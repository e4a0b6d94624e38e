"""Channels and units taken out of a network, a few at a time, with fine-tuning between."""

from __future__ import annotations

import copy
import importlib.util
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.lessons import lessons
from pawl.compression.ranking import MAGNITUDE, TAYLOR, Ranking, importance, ranked
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
_SEEN = 512
"""Rows by which it is measured which units matter."""
_TIME_KEPT = 0.5
"""Of the seconds left, where these are limited, those that rounds leave to the other steps."""
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, eq=False)
class Round:
    """A network after a round.

    Attributes:
        share: Of its weights that are left.
        trained: What predicts; one object for all rounds.
        facts: By what units were ranked, and which of each layer are left.
    """

    share: float
    trained: Trained
    facts: dict[str, Any]

    def copied(self) -> Round:
        """Returns it as it is, for when the rounds go on."""
        trained = replace(self.trained, model=copy.deepcopy(self.trained.model))
        return replace(self, trained=trained)


def pruned(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes a network without its least channels or units, the smallest that seems good enough last.

    Units that depend on each other go together (Fang et al., DepGraph, 2023), in rounds up to 90% of a
    layer, in multiples of 8: those that matter least first, by the criterion that moves predictions
    least on the rows for choices, and of layers that move them more later (`ranking`). After each round
    the network is fine-tuned, by AdamW with a rate that begins anew and falls to 0 (learning rate
    rewinding; Renda et al., Comparing rewinding and fine-tuning, ICLR 2020), on labels as for a taught
    network.

    Args:
        work: Rows and measures.
        current: What it starts from: one network, whose modules can be built anew.

    Returns:
        At most three candidates, or why there are none.
    """
    if refused := _unfit(work, current):
        return refused
    found: list[Round] = []
    rounds, failed, started = 0, 0, time.monotonic()
    least = _TIME_KEPT * (work.left() or 0.0)
    try:
        for each_round in rounds_of(work, current):
            rounds += 1
            left, each = work.left(), (time.monotonic() - started) / rounds
            predicted = each_round.trained.predict(work.choices, torch.device("cpu")).numpy()
            failed += 1
            if work.judge(predicted).passed:
                found.append(each_round.copied())
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
    return [_candidate(work, current, each) for each in reversed(tried)]


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


def rounds_of(work: Work, current: Candidate, *, ranking: bool = True) -> Iterator[Round]:
    """Yields the network after each round.

    Args:
        work: Rows and measures.
        current: One network.
        ranking: Whether it is measured which units matter; else norms say so, and all layers are alike.

    Raises:
        BundleError: It cannot be built anew, or what depends on what in it is not seen.
    """
    pipeline = _module(work, current)
    member = _network(pipeline)
    if predicts_several_times(member.body):
        raise BundleError("the network holds several in one, whose units cannot be told apart")
    for parameter in member.body.parameters():
        parameter.requires_grad_(True)
    example = _inputs(member, work.rows, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape = member(*example).shape
            pruner, order = _pruner(member, example), None
            if ranking:
                seen = _inputs(member, work.choices, _SEEN)
                _gradients(work, member)
                order = ranked(pruner, member, lambda: member(*seen), work.seed)
                pruner = _pruner(member, example, order)
            facts = {} if order is None else order.facts()
            whole = left = sum(p.numel() for p in member.parameters())
            for number in range(pruner.iterative_steps):
                if order is not None and order.criterion == TAYLOR:
                    _gradients(work, member)
                pruner.step()
                if member(*example).shape != shape:
                    raise ValueError("its outputs would change")
                before, left = left, sum(p.numel() for p in member.parameters())
                if left < before:
                    _fine_tuned(work, member, number)
                    trained = Trained((_part(current),), pipeline)
                    yield Round(left / whole, trained, {**facts, "kept": _kept(pruner)})
        except Exception as error:  # whatever a network does that the pruner does not follow
            raise BundleError(f"the network cannot be pruned ({first_line(error)})") from error


def _pruner(member: Deployed, example: tuple[Tensor, ...], order: Ranking | None = None) -> Any:
    """Returns what takes units out: of all layers alike, or of those that matter less sooner."""
    import torch_pruning  # noqa: PLC0415  (an extra)

    layers = dict(member.named_modules())
    shares = {} if order is None else order.shares
    rounds = _ROUNDS if order is None else math.ceil(_ROUNDS * order.rounds)
    whole = _SHARE * rounds / _ROUNDS  # is cut off at the share, which some layers reach sooner
    return torch_pruning.pruner.BasePruner(
        member, example, forward_fn=lambda module, given: module(*given),
        importance=importance(MAGNITUDE if order is None else order.criterion),
        pruning_ratio=_SHARE, max_pruning_ratio=_SHARE, iterative_steps=rounds, round_to=_ROUND_TO,
        pruning_ratio_dict={layers[name]: share * whole for name, share in shares.items()},
        ignored_layers=[_last_layer(member, example)],
    )  # fmt: skip


def _inputs(member: Deployed, rows: Examples, count: int) -> tuple[Tensor, ...]:
    few = rows.take(torch.arange(count) % len(rows))
    return tuple(few.inputs[name] for name in member.names)


def _kept(pruner: Any) -> dict[str, str]:
    """Returns which units of each layer are left, by their places at first, as in `0-3,7`."""
    layers = dict(pruner.model.named_modules())
    kept: dict[str, np.ndarray] = {}
    for name, outputs_of, places in pruner.pruning_history():
        known = pruner.layer_init_out_ch if outputs_of else pruner.layer_init_in_ch
        told = name if outputs_of else f"{name} (inputs)"
        before = kept.get(told, np.arange(known[layers[name]]))
        kept[told] = np.delete(before, np.asarray(places, dtype=np.int64))
    return {name: ranges(places.tolist()) for name, places in kept.items()}


def ranges(numbers: Sequence[int]) -> str:
    """Returns ascending numbers as ranges.

    Example:
        >>> ranges([0, 1, 2, 3, 7, 9, 10])
        '0-3,7,9-10'
    """
    told: list[list[int]] = []
    for each in numbers:
        if told and each == told[-1][-1] + 1:
            told[-1][1:] = [each]
        else:
            told.append([each])
    return ",".join("-".join(map(str, each)) for each in told)


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
    rows, body, labels = lessons(work).rows, member.body, _labels(work, member)
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
            optimizer.zero_grad()
            _loss(work, member, labels, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    member.eval()


def _labels(work: Work, member: Deployed) -> Tensor:
    """Returns what is learned of the rows, as the body says it."""
    labels = lessons(work).labels
    if KINDS[work.schema.kind].scaled:
        labels = (labels - member.get_buffer("target_mean")) / member.get_buffer("target_std")
    return labels


def _loss(work: Work, member: Deployed, labels: Tensor, batch: Tensor) -> Tensor:
    kind, rows = KINDS[work.schema.kind], lessons(work).rows
    out = outputs(member.body(_seen(member, rows, batch)), kind, member.num_outputs)
    soft = labels[batch] if kind.has_classes else None
    targets = rows.known_targets[batch] if kind.has_classes else labels[batch]
    return kind.loss(out, targets, soft).mean()


def _gradients(work: Work, member: Deployed) -> None:
    """Leaves the loss's gradients of some rows in the parameters."""
    for parameter in member.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batch = torch.arange(min(_SEEN, len(work.rows)))
    _loss(work, member, _labels(work, member), batch).backward()  # type: ignore[no-untyped-call]


def _seen(member: Deployed, rows: Examples, batch: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(member.front({name: rows.inputs[name][batch] for name in member.names}))


def _part(current: Candidate) -> Part:
    return Part(current.weights.recipes[0], int(current.weights.parts[0]["seed"]))


def _candidate(work: Work, current: Candidate, found: Round) -> Candidate:
    trained = found.trained
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
    facts = {**found.facts, "units": widths}
    return Candidate(
        STEP, f"{found.share:.0%} of the weights left", graph, weights, facts, is_exact=False
    )
