"""Fewer members: which of the models whose mean a bundle predicts can be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from pawl.compression.candidate import Candidate
from pawl.compression.work import Work
from pawl.deployment.export import session
from pawl.models import members_of, tempered, thinned, with_members

STEP = "members"
_GRAIN = 0.05
"""Costs that differ by less, as clocks have it, are equal."""
_MARGIN = 0.95
"""Of what limits leave: costs of subsets are estimates."""
_NONE = "the bundle holds one model"


@dataclass(frozen=True)
class _Subset:
    """Members, what they cost relative to all, and the metric of their mean on the rows for choices."""

    kept: tuple[int, ...]
    cost: float
    value: float
    passed: bool


def fewer_members(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes subsets of a bundle's members, the cheapest that seems good enough last.

    Subsets are looked for on the rows for choices: by leaving out, one after the other, who is missed
    least, or who costs most, and each member alone. In front of the cheapest comes one of about the
    geometric mean of its costs and of those of all; where there are limits also the best of those that
    seem to keep them.

    Args:
        work: Rows and measures.
        current: What it starts from.

    Returns:
        Candidates, those that cost most first, or why there are none.
    """
    model = onnx.load_from_string(current.graph)
    shares = members_of(model)
    if len(shares) < 2:
        return _NONE
    each = _predictions(model, work)
    costs = _costs(model, work, len(shares))
    search = _Search(work, current, each, np.array(shares), costs)
    found = search.subsets()
    good = sorted((one for one in found if one.passed), key=lambda one: (one.cost, -one.value))
    if not good:
        return f"no fewer of the {len(shares)} models seem good enough on the rows for choices"
    cheapest, middle = good[0], good[0].cost ** 0.5  # all of them cost 1
    dearer = [one for one in good[1:] if one.cost > cheapest.cost]
    chosen = [cheapest, *sorted(dearer, key=lambda one: abs(one.cost - middle))[:1]]
    most = _MARGIN * work.room(current.graph)
    within = [one for one in good if one.cost <= most]
    if work.limits is not None and within:
        chosen.append(max(within, key=lambda one: one.value))
    order = sorted({one.kept: one for one in chosen}.values(), key=lambda one: -one.cost)
    return [_candidate(current, model, one.kept, len(shares)) for one in order]


class _Search:
    """Judges subsets by the members' predictions, each once."""

    def __init__(
        self, work: Work, current: Candidate, each: Tensor, shares: np.ndarray, costs: np.ndarray
    ) -> None:
        self._work, self._each, self._shares, self._costs = work, each, shares, costs
        adjusting = current.weights.tensors
        self._temperature, self._shift = adjusting.get("temperature"), adjusting.get("shift")
        self._known: dict[tuple[int, ...], _Subset] = {}

    def subsets(self) -> list[_Subset]:
        """Returns all that were looked at."""
        every = tuple(range(len(self._shares)))
        kept = every
        while len(kept) > 1:  # who is missed least
            kept = max(
                (self.judged(_without(kept, one)) for one in kept),
                key=lambda found: (found.value, -found.cost),
            ).kept
        kept = every
        while len(kept) > 1:  # who costs most
            kept = _without(kept, max(kept, key=lambda one: self._costs[one]))
            self.judged(kept)
        for one in every:
            self.judged((one,))
        return list(self._known.values())

    def judged(self, kept: tuple[int, ...]) -> _Subset:
        """Judges a subset; a larger `value` is better."""
        if kept not in self._known:
            index = list(kept)
            shares = torch.from_numpy(self._shares[index] / self._shares[index].sum()).float()
            mean = torch.tensordot(shares, self._each[index], dims=1)
            if self._temperature is not None or self._shift is not None:
                mean = tempered(
                    mean, 1.0 if self._temperature is None else self._temperature, self._shift
                )
            found = self._work.judge(mean.numpy())
            cost = round(float(self._costs[index].sum() / self._costs.sum()) / _GRAIN) * _GRAIN
            self._known[kept] = _Subset(kept, cost, -found.loss, found.passed)
        return self._known[kept]


def _without(kept: Sequence[int], one: int) -> tuple[int, ...]:
    return tuple(at for at in kept if at != one)


def _predictions(model: onnx.ModelProto, work: Work) -> Tensor:
    """Returns what each member predicts of the rows for choices, `[M, R, *P]`."""
    several, names = with_members(model)
    running = session(several.SerializeToString())
    wanted = {item.name: work.choices.inputs[item.name].numpy() for item in running.get_inputs()}
    return torch.from_numpy(np.stack(running.run(names, wanted)))


def _costs(model: onnx.ModelProto, work: Work, count: int) -> np.ndarray:
    """Returns what each member costs, by what counts, `[M]`."""
    alone = {str(at): thinned(model, [at]).SerializeToString() for at in range(count)}
    return work.costs(alone)


def _candidate(
    current: Candidate, model: onnx.ModelProto, kept: tuple[int, ...], count: int
) -> Candidate:
    graph = bytes(thinned(model, kept).SerializeToString())
    return Candidate(
        STEP, f"{len(kept)} of {count} models", graph, current.weights.only(kept),
        {"kept": list(kept), "of": count},
    )  # fmt: skip
