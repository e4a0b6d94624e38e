"""What is predicted: shapes, losses and what follows from them, for each kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from of_kinds import COUNTS, PLACES, ROWS, raw_of, targets_of
from torch import Tensor

from pawl.kinds import KINDS, NOTHING, Kind

EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@EVERY
def test_outputs_predictions_and_targets_fit_each_other(kind: Kind) -> None:
    count, targets = COUNTS[kind.name], targets_of(kind)
    raw = raw_of(kind)
    outputs = kind.outputs(raw, count)
    assert outputs is not None
    assert targets.dim() == 1 + kind.target_axes
    assert targets.dtype == kind.target_dtype
    assert kind.loss(outputs, targets).shape == (ROWS,)
    predictions = kind.predictions(outputs)
    assert predictions.shape == (ROWS, *kind.prediction_shape(count, PLACES.get(kind.name, ())))
    assert predictions.dim() == 1 + kind.prediction_axes
    # A population's are the same, member by member.
    several = torch.stack([outputs, 2 * outputs])
    torch.testing.assert_close(kind.predictions(several)[0], predictions)
    if kind.has_classes:
        assert kind.labels(predictions.numpy()).shape == targets.shape


@EVERY
@pytest.mark.parametrize("shape", [(ROWS, 7), (ROWS, 3, 2), (), (ROWS, 2, 2, 2, 2)])
def test_other_shapes_are_refused(kind: Kind, shape: tuple[int, ...]) -> None:
    if kind.name == "dense_regression" and len(shape) == 3:
        pytest.skip("pixels are what it wants")
    assert kind.outputs(torch.zeros(shape), COUNTS[kind.name]) is None
    assert kind.shapes.format(outputs=COUNTS[kind.name]).startswith("[B")


@EVERY
def test_several_predictors_say_the_mean_of_what_each_says(kind: Kind) -> None:
    count = COUNTS[kind.name]
    raw = torch.stack([3 * raw_of(kind, seed) for seed in range(5)])
    if kind.has_places:  # as the kind's outputs lie
        raw = torch.stack([_outputs(kind, one, count) for one in raw])
        torch.testing.assert_close(
            kind.predictions(kind.pooled(raw)), kind.predictions(raw).mean(0)
        )
        return
    each = torch.stack([kind.predictions(_outputs(kind, one, count)) for one in raw])
    together = kind.predictions(_outputs(kind, kind.pooled(raw), count))
    torch.testing.assert_close(together, each.mean(0))


def _outputs(kind: Kind, raw: Tensor, count: int) -> Tensor:
    found = kind.outputs(raw, count)
    assert found is not None
    return found


@EVERY
def test_nothing_constant_has_less_loss_than_the_constant_prediction(kind: Kind) -> None:
    count, targets = COUNTS[kind.name], targets_of(kind)
    constant = kind.constant(targets, count)
    assert constant.shape == kind.prediction_shape(count, PLACES.get(kind.name, ()))
    to_outputs = {True: lambda p: p.log() if kind.exclusive else p.logit(), False: lambda p: p}

    def loss(prediction: Tensor) -> float:
        outputs = to_outputs[kind.has_classes](prediction)
        return float(kind.loss(outputs.expand(ROWS, *outputs.shape), targets).mean())

    best = loss(constant)
    for seed in range(20):
        shape = constant.shape[kind.target_axes :] if kind.has_places else constant.shape
        generator = torch.Generator().manual_seed(seed)
        moved = constant + 0.05 * torch.randn(shape, generator=generator)
        if kind.exclusive:
            moved = moved / moved.sum(-1, keepdim=True)
        assert loss(moved) >= best * (1 - 1e-5)


@EVERY
def test_targets_are_learned_in_units_of_their_deviation_where_they_have_one(kind: Kind) -> None:
    targets = targets_of(kind)
    mean, std = kind.scale(targets)
    assert mean.dtype == std.dtype == torch.float32
    if not kind.scaled:
        assert mean.shape == std.shape
        assert (mean == 0).all()
        assert (std == 1).all()
        return
    scaled = (targets - mean) / std
    over = (0, 1, 2) if kind.has_places else 0
    torch.testing.assert_close(
        scaled.mean(over).view_as(mean), torch.zeros_like(mean), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(scaled.std(over, correction=0).view_as(std), torch.ones_like(std))
    assert (kind.scale(torch.ones_like(targets))[1] == 1).all()


@EVERY
def test_made_up_predictions_are_unlike_and_the_second_is_good(kind: Kind) -> None:
    count, targets = COUNTS[kind.name], targets_of(kind)
    bad, good = kind.made_up(targets, count, torch.Generator().manual_seed(0))
    assert bad.shape == good.shape == (ROWS, *kind.prediction_shape(count, targets.shape[1:]))
    if kind.has_classes:
        there = targets.numpy() != NOTHING
        assert (kind.labels(good.numpy()) == targets.numpy())[there].all()
        assert not (kind.labels(bad.numpy()) == targets.numpy())[there].all()
    else:
        torch.testing.assert_close(good, targets)


def test_labels_are_spread_by_the_rarest() -> None:
    # Ten rows have the second label alone, two the first with it, and eight have none.
    targets = torch.tensor([[0, 1]] * 10 + [[1, 1]] * 2 + [[0, 0]] * 8).float()
    strata = KINDS["multilabel"].strata(targets, 5)
    assert len(set(strata)) == 3
    assert [len(set(part)) for part in np.split(strata, [10, 12])] == [1, 1, 1]


def test_several_quantities_are_spread_by_their_mean_rank() -> None:
    first = torch.arange(40.0)
    targets = torch.stack([first, 1000 * first + 3], dim=1)
    kinds = KINDS["multitarget"], KINDS["regression"]
    several, one = (kind.strata(t, 8) for kind, t in zip(kinds, (targets, first), strict=True))
    assert several.tolist() == one.tolist()


def test_the_only_row_of_a_class_is_not_held_out() -> None:
    targets = torch.tensor([0, 0, 1, 2, 2])
    assert KINDS["multiclass"].may_be_held_out(targets).tolist() == [True, True, False, True, True]
    assert KINDS["multilabel"].may_be_held_out(torch.eye(3)).all()


def test_folds_need_both_of_two_classes() -> None:
    assert KINDS["binary"].most_folds(torch.tensor([0] * 30 + [1] * 4)) == 4
    assert KINDS["binary"].most_folds(torch.tensor([0] * 30 + [1])) == 2
    assert KINDS["multiclass"].most_folds(torch.tensor([0] * 30 + [1])) == 31


def test_what_has_no_classes_has_no_labels() -> None:
    with pytest.raises(TypeError, match="regression has no classes"):
        KINDS["regression"].labels(np.zeros(3, dtype=np.float32))
