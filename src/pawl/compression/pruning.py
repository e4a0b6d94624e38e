"""Channels and units taken out of a network, a few at a time, with fine-tuning between."""

from __future__ import annotations

import copy
import importlib.util
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

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
from pawl.compression.work import Work, undominated
from pawl.data.types import Examples
from pawl.deployment import check_parity
from pawl.errors import BundleError, first_line
from pawl.kinds import KINDS
from pawl.models import Deployed, predicts_several_times
from pawl.training.trained import Part, Trained

STEP = "prune"
_MOST_FAILED, _MOST_TRIED = 2, 6
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
_RANKED, _ALIKE = (True, WAYS), (False, (PLAIN,))
"""Whether it is measured which units go, and the ways of training."""


@dataclass(frozen=True, eq=False)
class Round:
    """A network after a round.

    Attributes:
        share: Of its weights that are left.
        products: Likewise, of its multiplications.
        trained: What predicts; one object for all rounds.
        facts: By what units were ranked, which of each layer are left, and how it was trained.
        at_most: What it may lose on the rows for choices; infinite where that does not seem good enough.
    """

    share: float
    products: float
    trained: Trained
    facts: dict[str, Any]
    at_most: float

    @property
    def good(self) -> bool:
        """Whether it may be good enough."""
        return self.at_most < math.inf

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

    Then the same is done as others do it: as much of each layer, by the norms of units, and weights that
    go on alone. No measurement of what matters is sure to be better than none, so what that gives is
    proposed, too, where it seems to lose less or costs less.

    Args:
        work: Rows and measures.
        current: What it starts from: one network, whose modules can be built anew.

    Returns:
        At most six candidates, or why there are none.
    """
    if refused := _unfit(work, current):
        return refused
    found, reasons, rounds = list[Round](), list[str](), 0
    started, least = time.monotonic(), _TIME_KEPT * (work.left() or 0.0)
    for ranking, ways in (_RANKED, _ALIKE):
        failed = 0
        try:
            for each in rounds_of(work, current, ranking=ranking, ways=ways):
                rounds += 1
                failed = 0 if each.good else failed + 1
                found += [each.copied()] if each.good else []
                if failed == _MOST_FAILED or _is_late(work, started, rounds, least):
                    break
        except BundleError as error:
            reasons.append(str(error))
        if _is_late(work, started, rounds, least):
            break
    if reasons and not found:
        return reasons[0]
    if not rounds:
        return f"its layers are too narrow: units are left in multiples of {ROUND_TO}"
    if not found:
        return "on the rows for choices even the least pruned network loses too much"
    costs = np.array([(each.share, each.products) for each in found]).T
    counts = [work.goals.size, work.goals.latency]
    order = undominated(costs[counts], [each.at_most for each in found])
    tried = order[:: -max(1, round(len(order) / _MOST_TRIED))][:_MOST_TRIED]
    return [_candidate(work, current, found[at]) for at in reversed(tried)]


def _is_late(work: Work, started: float, rounds: int, least: float) -> bool:
    """Tells whether another round, as long as the others were, would leave too little time."""
    left = work.left()
    return left is not None and left - (time.monotonic() - started) / max(1, rounds) < least


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
            every = left = _weights(member)
            whole_products = _products(member, example)
            trained = Trained((_part(current),), pipeline)
            for number in range(pruner.iterative_steps):
                if order is not None and order.criterion == TAYLOR:
                    gradients(work, member)
                pruner.step()
                if member(*example).shape != shape:
                    raise ValueError("its outputs would change")
                before, left = left, _weights(member)
                if left < before:
                    how, most = _brought_back(work, trained, first, pruner, number, ways)
                    told = {**facts, "kept": kept(pruner), "trained": how}
                    products = _products(member, example) / whole_products
                    yield Round(left / every, products, trained, told, most)
        except Exception as error:  # whatever a network does that the pruner does not follow
            raise BundleError(f"the network cannot be pruned ({first_line(error)})") from error


def _brought_back(
    work: Work, trained: Trained, first: Deployed, pruner: Any, number: int, ways: Sequence[str]
) -> tuple[str, float]:
    """Trains what a round has left; returns the first way that will do, and what may be lost then.

    If none is sure to, it is the best of those that may; without any it is left as the first way has it.
    """
    member = network_of(trained.model)
    start = copy.deepcopy(member.state_dict())
    best, most, left = "", math.inf, start
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
        judged = work.judge(trained.predict(work.choices, torch.device("cpu")).numpy())
        if judged.passed:
            return way, judged.at_most
        better = work.is_hopeful(judged) and judged.at_most < most
        if better or way == PLAIN:
            left = copy.deepcopy(member.state_dict())
        if better:
            best, most = way, judged.at_most
    member.load_state_dict(left)
    return best, most


def _weights(member: Deployed) -> int:
    return sum(p.numel() for p in member.parameters())


def _products(member: Deployed, example: tuple[Tensor, ...]) -> int:
    """Returns the multiplications of a call, at least 1."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        member(*example)
    return max(1, int(counter.get_total_flops()))


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
    detail += "" if "criterion" in facts else "; all layers alike"
    return Candidate(STEP, detail, graph, weights, facts, is_exact=False)
