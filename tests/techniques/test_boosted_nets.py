"""Boosted networks, against answers known beforehand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import member, problem
from torch import Tensor

from pawl.data.types import InputSpec, ModelSpec
from pawl.kinds import KINDS
from pawl.models import BoostedNets, Learned
from pawl.recipe import Recipe
from pawl.techniques import FitRows
from pawl.techniques.boosting.boosted_nets import BoostedNetsSettings, fit, module
from pawl.training.fits import fit_member

KINDS_AND_TARGETS: list[tuple[Any, int, Tensor]] = [
    ("regression", 1, torch.tensor([1.0, 2.0, 6.0, 7.0] * 10)),
    ("multitarget", 2, torch.tensor([[1.0, 5.0], [3.0, 5.0]] * 20)),
    ("binary", 2, torch.tensor([0, 1, 1, 1] * 10)),
    ("multiclass", 3, torch.tensor([0, 1, 2, 2] * 10)),
    ("multilabel", 2, torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]] * 10)),
]


def fitted(kind: Any, outputs: int, rows: FitRows, **settings: Any) -> Learned:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", shape=(2,), dtype="float32"),), num_outputs=outputs, kind=kind
    )
    chosen = BoostedNetsSettings(**settings)
    learned = module(spec, chosen)
    fit(learned, rows, chosen, 3, lambda: None)
    return learned


def predicted(learned: Learned, kind: str, outputs: int, x: Tensor) -> Tensor:
    found = KINDS[kind].outputs(learned({"x": x}), outputs)
    assert found is not None
    return KINDS[kind].predictions(found)


def core(learned: Any) -> BoostedNets:
    assert isinstance(learned.core, BoostedNets)
    return learned.core


def rows_of(kind: Any, targets: Tensor, **more: Any) -> FitRows:
    x = torch.randn(len(targets), 2, generator=torch.Generator().manual_seed(0))
    return FitRows(kind, {"x": x}, targets, **more)


@pytest.mark.parametrize(("kind", "outputs", "targets"), KINDS_AND_TARGETS)
def test_without_rounds_it_says_the_mean(kind: Any, outputs: int, targets: Tensor) -> None:
    learned = fitted(kind, outputs, rows_of(kind, targets), rounds=0)
    found = predicted(learned, kind, outputs, torch.randn(5, 2))
    wanted = KINDS[kind].constant(targets, outputs).expand(found.shape)
    torch.testing.assert_close(found, wanted)


def test_the_mean_is_weighted() -> None:
    rows = rows_of(
        "regression", torch.tensor([0.0, 1.0] * 20), weights=torch.tensor([3.0, 1.0] * 20)
    )
    learned = fitted("regression", 1, rows, rounds=0)
    torch.testing.assert_close(learned({"x": torch.randn(2, 2)}), torch.full((2, 1), 0.25))
    more = fitted("regression", 1, FitRows("regression", {"x": torch.ones(40, 2)}, rows.targets,
                                           rows.weights), rounds=10)  # fmt: skip
    # Rows that look alike: networks find nothing to add to it.
    assert float(more({"x": torch.ones(1, 2)})) == pytest.approx(0.25, abs=0.12)


def test_the_sum_by_hand() -> None:
    one = BoostedNets(1, (1,))
    one.shift, one.scale = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])
    one.low, one.width = (
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[1.0, 0.5]]),
    )  # up to 1, then to 3
    # Seen of (2, 2): 2, 2, then 1 of the first bin and a half of the second.
    assert one.seen(torch.tensor([[2.0, 2.0]])).tolist() == [[2.0, 2.0, 1.0, 0.5]]
    one.first = torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 2.0]])
    one.constant, one.last = torch.tensor([0.5, 0.0]), torch.tensor([[10.0], [100.0]])
    one.base = torch.tensor([7.0])
    # The first unit is 2 + 1 + 0.5, the second below 0.
    assert one(torch.tensor([[2.0, 2.0]])).tolist() == [[42.0]]


@pytest.mark.parametrize(("kind", "outputs", "targets"), KINDS_AND_TARGETS)
def test_each_network_lowers_the_loss(kind: Any, outputs: int, targets: Tensor) -> None:
    rows = rows_of(kind, targets)
    losses = []
    for rounds in (0, 1, 4, 16):
        raw = KINDS[kind].outputs(fitted(kind, outputs, rows, rounds=rounds)(rows.inputs), outputs)
        assert raw is not None
        losses.append(float(KINDS[kind].loss(raw, targets).mean()))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]


def test_later_networks_are_added_to_those_before() -> None:
    rows = rows_of("regression", KINDS_AND_TARGETS[0][2])
    few, more = (core(fitted("regression", 1, rows, rounds=n, units=8)) for n in (2, 3))
    assert more.first.shape[1] == 24
    assert torch.equal(more.first[:, :16], few.first)
    assert torch.equal(more.last[:16], few.last)


def test_it_stops_by_the_rows_for_it_and_learns_from_them_where_others_judge() -> None:
    task = problem("table")
    one = member(Recipe.of(boosted_nets={"rounds": 1000, "patience": 2, "shrinkage": 1.0}), 1)
    first, again = (fit_member(task, one, refit=refit)[1] for refit in (False, True))
    cores = [core(each.model.body) for each in (first, again)]  # type: ignore[union-attr]
    assert 0 < int(cores[0].rounds) < 200
    assert cores[0].rounds == cores[1].rounds
    assert not torch.equal(cores[0].first, cores[1].first)


def test_what_only_gets_worse_is_the_mean() -> None:
    """The rows to stop by say the opposite of those that train."""
    targets = torch.tensor([0.0, 1.0] * 20)
    x = torch.stack([targets, targets], 1)
    rows = FitRows("regression", {"x": x}, targets, None, ({"x": x}, 1.0 - targets))
    learned = fitted("regression", 1, rows, patience=3)
    assert int(core(learned).rounds) == 0
    assert learned({"x": torch.randn(2, 2)}).tolist() == [[0.5], [0.5]]
