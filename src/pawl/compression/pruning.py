"""Channels and units taken out of a network, a few at a time, with fine-tuning between."""

from __future__ import annotations

import copy
import importlib.util
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.features import LAYERS, Features, Pair
from pawl.compression.ranking import TAYLOR, ranked
from pawl.compression.tuning import gradients, network_of, pipeline_of, tuned
from pawl.compression.units import (
    ROUND_TO,
    kept,
    places_left,
    pruner_of,
    rewound,
    unbreakable,
)
from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment import check_parity
from pawl.errors import BundleError, first_line
from pawl.kinds import KINDS
from pawl.models import Deployed, predicts_several_times
from pawl.training.trained import Part, Trained

STEP = "prune"
_MOST_FAILED, _MOST_TRIED = 2, 3
"""Rounds in a row that do not seem good enough, behind which there are no more; and candidates."""
_SEEN = 512
"""Rows by which it is measured which units matter."""
_TIME_KEPT = 0.5
"""Of the seconds left, where these are limited, those that rounds leave to the other steps."""
PLAIN, FEATURES, REWOUND = "weights go on", "features are learned, too", "weights are rewound"
WAYS = (PLAIN, FEATURES, REWOUND)
"""Of training what a round leaves, in the order in which they are tried."""
_MOST_TIMES = 3
"""How many times as long as usual what was rewound is trained at most."""


@dataclass(frozen=True, eq=False)
class Round:
    """A network after a round.

    Attributes:
        share: Of its weights that are left.
        trained: What predicts; one object for all rounds.
        facts: By what units were ranked, which of each layer are left, and how it was trained.
        good: Whether it seems good enough on the rows for choices.
    """

    share: float
    trained: Trained
    facts: dict[str, Any]
    good: bool

    def copied(self) -> Round:
        """Returns it as it is, for when the rounds go on."""
        trained = replace(self.trained, model=copy.deepcopy(self.trained.model))
        return replace(self, trained=trained)


def pruned(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes a network without its least channels or units, the smallest that seems good enough last.

    Units that depend on each other go together (Fang et al., DepGraph, 2023), in rounds up to 90% of a
    layer, in multiples of 8: those that matter least first, by the criterion that moves predictions
    least on the rows for choices, and of layers that move them more later (`ranking`). Layers of which
    none can go without breaking the network, such as those whose outputs are reshaped by numbers that
    it knows by heart, stay whole.

    After each round the network is trained by a rate that begins anew and falls to 0 (learning rate
    rewinding), on labels as for a taught network. Where that does not seem good enough, the same round
    is trained from where it began on the features of the network before any pruning, too; then with
    weights rewound to what they were there (weight rewinding; Renda et al., Comparing rewinding and
    fine-tuning, ICLR 2020), for as long as all rounds so far, or three. The first way that will do
    counts.

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
            failed += 1
            if each_round.good:
                found.append(each_round.copied())
                failed = 0
            if failed == _MOST_FAILED or (left is not None and left - each < least):
                break
    except BundleError as error:
        if not found:
            return str(error)
    if not rounds:
        return f"its layers are too narrow: units are left in multiples of {ROUND_TO}"
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


def rounds_of(
    work: Work, current: Candidate, *, ranking: bool = True, ways: Sequence[str] = WAYS
) -> Iterator[Round]:
    """Yields the network after each round.

    Args:
        work: Rows and measures.
        current: One network.
        ranking: Whether it is measured which units matter; else norms say so, and all layers are alike.
        ways: Of training, until one will do.

    Raises:
        BundleError: It cannot be built anew, or what depends on what in it is not seen.
    """
    pipeline = pipeline_of(work, current.weights, current.graph)
    member = network_of(pipeline)
    if predicts_several_times(member.body):
        raise BundleError("the network holds several in one, whose units cannot be told apart")
    for parameter in member.body.parameters():
        parameter.requires_grad_(True)
    example = _inputs(member, work.rows, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape, first = member(*example).shape, copy.deepcopy(member)
            whole = unbreakable(member, example)
            pruner, order = pruner_of(member, example, whole), None
            if ranking:
                seen = _inputs(member, work.choices, _SEEN)
                gradients(work, member)
                order = ranked(pruner, member, lambda: member(*seen), work.seed)
                pruner = pruner_of(member, example, whole, order)
            facts = {} if order is None else order.facts()
            facts |= {"left whole": whole} if whole else {}
            every = left = sum(p.numel() for p in member.parameters())
            trained = Trained((_part(current),), pipeline)
            for number in range(pruner.iterative_steps):
                if order is not None and order.criterion == TAYLOR:
                    gradients(work, member)
                pruner.step()
                if member(*example).shape != shape:
                    raise ValueError("its outputs would change")
                before, left = left, sum(p.numel() for p in member.parameters())
                if left < before:
                    how = _brought_back(work, trained, first, pruner, number, ways)
                    told = {**facts, "kept": kept(pruner), "trained": how}
                    yield Round(left / every, trained, told, good=bool(how))
        except Exception as error:  # whatever a network does that the pruner does not follow
            raise BundleError(f"the network cannot be pruned ({first_line(error)})") from error


def _brought_back(
    work: Work, trained: Trained, first: Deployed, pruner: Any, number: int, ways: Sequence[str]
) -> str:
    """Trains what a round has left; returns the way that will do, or nothing.

    In that case it is left as the first way has trained it.
    """
    member = network_of(trained.model)
    start = copy.deepcopy(member.state_dict())
    for way in ways:
        features, times = None, 1
        if way != PLAIN:
            member.load_state_dict(start)
        if way == FEATURES:
            places = places_left(pruner)
            pairs = [
                Pair(name, name, torch.from_numpy(kept))
                for name, kept in ((n.removeprefix("body."), k) for n, k in places.items())
                if isinstance(member.body.get_submodule(name), LAYERS)
            ]
            features = Features(member, first, pairs)
        elif way == REWOUND:
            member.load_state_dict(rewound(first, _inputs(member, work.rows, 4), pruner))
            times = min(number + 1, _MOST_TIMES)
        tuned(work, member, number, features, times)
        if work.judge(trained.predict(work.choices, torch.device("cpu")).numpy()).passed:
            return way
        if way == PLAIN:
            left = copy.deepcopy(member.state_dict())
    member.load_state_dict(left)
    return ""


def _inputs(member: Deployed, rows: Examples, count: int) -> tuple[Tensor, ...]:
    few = rows.take(torch.arange(count) % len(rows))
    return tuple(few.inputs[name] for name in member.names)


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
        if isinstance(each, LAYERS)
    ]
    facts, how = {**found.facts, "units": widths}, found.facts["trained"]
    detail = f"{found.share:.0%} of the weights left" + (f"; {how}" if how != PLAIN else "")
    return Candidate(STEP, detail, graph, weights, facts, is_exact=False)
