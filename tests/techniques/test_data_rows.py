"""What changes which rows train, and how much they count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from problems import frame, member, plain, problem, problem_of
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import RecipeError, TaskError
from pawl.recipe import Recipe
from pawl.search.starts import fitting
from pawl.task import Task
from pawl.techniques import Batch, Split, Targets, check_recipe, technique
from pawl.training.population import Population
from pawl.training.program import Namespace
from pawl.training.serial import SerialStepper

COUNTS = (60, 25, 5)


def split_of(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> Split:
    """A split with so many rows of each class among its training rows, and others beside them."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.cat([torch.full((n + 3,), c) for c, n in enumerate(counts)])
    rows = torch.cat([(targets == c).nonzero().flatten()[:n] for c, n in enumerate(counts)])
    numbers = torch.randn(len(targets), 4, generator=generator) + 10 * targets.unsqueeze(1)
    codes = torch.randint(0, 3, (len(targets), 2), generator=generator)
    inputs = {"numeric": numbers, "categorical": codes}
    rows = rows[torch.randperm(len(rows), generator=generator)]
    return Split(Examples(inputs, targets), rows, (), seed=seed)


def changed(name: str, split: Split, **settings: Any) -> Split:
    one = technique(name)
    found = one.apply(split, one.settings(**settings))
    assert isinstance(found, Split)
    return found


def counts(split: Split) -> list[int]:
    return split.examples.known_targets[split.rows].bincount().tolist()


def test_balanced_weights_are_scikit_learns() -> None:
    split = split_of()
    targets = split.examples.known_targets[split.rows].numpy()
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    found = changed("class_weights", split)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights[split.rows].numpy(), wanted[targets], rtol=1e-5)
    half = changed("class_weights", split, exponent=0.5)
    assert half.weights is not None
    torch.testing.assert_close(half.weights[split.rows] ** 2, found.weights[split.rows])
    twice = changed("class_weights", replace(split, weights=torch.full((99,), 3.0)))
    assert twice.weights is not None
    torch.testing.assert_close(twice.weights[split.rows], 3 * found.weights[split.rows])


def test_weights_of_ones_own_are_scikit_learns() -> None:
    """By the names of classes, in whatever order; a class that is not named weighs 1."""
    schema = problem("table").schema
    split = replace(split_of(COUNTS[:2]), schema=schema)
    targets = split.examples.known_targets[split.rows].numpy()
    given = {schema.classes[1]: 4.0}
    wanted = compute_class_weight({0: 1.0, 1: 4.0}, classes=np.arange(2), y=targets)
    found = changed("class_weights", split, weights=given)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights[split.rows].numpy(), wanted[targets])
    root = changed("class_weights", split, weights=given, exponent=0.5)
    assert root.weights is not None
    torch.testing.assert_close(root.weights**2, found.weights)


def test_weights_of_a_class_that_is_not_there_are_refused_before_training() -> None:
    facts = problem("table").facts()
    recipe = plain().with_("class_weights", weights={"yess": 2.0})
    names = ", ".join(facts.schema.classes)
    with pytest.raises(TaskError, match=f"got a weight of class 'yess'.* classes are {names}"):
        check_recipe(facts, recipe)
    known = plain().with_("class_weights", weights={facts.schema.classes[0]: 2.0})
    check_recipe(facts, known)
    first = problem("table").targets == 0
    fitted = problem("table").fit(known, torch.arange(len(first)), 0).weights
    assert fitted is not None
    torch.testing.assert_close(fitted[first], 2 * fitted[~first].mean().expand(int(first.sum())))
    assert fitting(recipe, facts) == plain()
    assert Recipe.from_toml(known.to_toml()) == known


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 0.0}, "above 0; that of 'a' is 0"),
        ({"a": -2.0}, "above 0; that of 'a' is -2"),
        ([["a", 1.0], ["a", 2.0]], "one is named twice"),
        ({"a": "much"}, "valid number"),
    ],
)
def test_wrong_weights_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plain().with_("class_weights", weights=weights)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_rare_classes_are_shown_more_often(exponent: float) -> None:
    split = split_of()
    found = changed("balanced_sampling", split, exponent=exponent)
    wanted = [round(n * (60 / n) ** exponent) for n in COUNTS]
    assert counts(found) == wanted
    times = found.rows.bincount(minlength=99)
    for c, n in enumerate(COUNTS):
        own = times[split.rows[split.examples.known_targets[split.rows] == c]]
        assert len(own) == n
        assert int(own.max()) - int(own.min()) <= 1
        assert int(own.min()) >= 1
    other = changed("balanced_sampling", replace(split, seed=1), exponent=0.5)
    assert not torch.equal(other.rows.bincount(minlength=99), times)
    assert int(times[~torch.isin(torch.arange(99), split.rows)].sum()) == 0


def test_new_rows_lie_between_near_ones_of_their_class() -> None:
    split = split_of()
    found = changed("smote", split, exponent=1.0)
    assert counts(found) == [60, 60, 60]
    assert torch.equal(found.rows[: len(split.rows)], split.rows)
    more = found.examples.take(found.rows[len(split.rows) :])
    targets = split.examples.known_targets
    assert more.targets is not None
    for c in (1, 2):
        own = split.rows[targets[split.rows] == c]
        numbers = split.examples.inputs["numeric"][own]
        codes = split.examples.inputs["categorical"][own]
        for row, theirs in zip(
            more.inputs["numeric"][more.targets == c],
            more.inputs["categorical"][more.targets == c],
            strict=True,
        ):
            on_line = _pairs_through(row, numbers)
            assert len(on_line) > 0
            assert any(
                all(theirs[k] in (codes[i, k], codes[j, k]) for k in range(2)) for i, j in on_line
            )


def _pairs_through(row: Tensor, numbers: Tensor) -> list[tuple[int, int]]:
    """Returns which pairs of rows a row lies between."""
    distance = torch.cdist(numbers, numbers)
    through = torch.cdist(row.unsqueeze(0), numbers)[0]
    detour = through.unsqueeze(0) + through.unsqueeze(1) - distance
    return [(int(i), int(j)) for i, j in (detour < 1e-3).nonzero()]


def test_neighbors_are_the_nearest_five() -> None:
    split = split_of((40, 20))
    numbers = split.examples.inputs["numeric"]
    for row in split.rows[split.examples.known_targets[split.rows] == 1]:
        numbers[row] = torch.randint(0, 2, ()) * 1e4 + torch.rand(4)  # two clumps
    found = changed("smote", split, exponent=1.0)
    new = found.examples.inputs["numeric"][found.rows[60:]]
    assert len(new) == 20
    assert bool(((new < 10) | ((new >= 1e4) & (new < 1e4 + 10))).all())


def test_a_class_of_one_row_is_repeated_and_gaps_stay() -> None:
    split = split_of((8, 1))
    split.examples.inputs["numeric"][split.rows, 0] = torch.nan
    found = changed("smote", split, exponent=1.0)
    assert counts(found) == [8, 8]
    (row,) = split.rows[split.examples.known_targets[split.rows] == 1]
    new = found.examples.inputs["numeric"][found.rows[9:]]
    torch.testing.assert_close(
        new, split.examples.inputs["numeric"][row].expand(7, 4), equal_nan=True
    )


def test_new_rows_of_many_numbers_are_refused() -> None:
    facts = problem("table").facts()
    assert technique("smote").fits(facts) is None
    reason = technique("smote").fits(replace(facts, num_rows=2_000_000))
    assert reason is not None
    assert "at most 3,000,000" in reason


def test_each_seed_draws_rows_of_its_own() -> None:
    split = split_of((700, 300))
    drawn = [changed("bootstrap", replace(split, seed=seed)) for seed in range(2)]
    for one in drawn:
        assert counts(one) == [700, 300]
        assert torch.isin(one.rows, split.rows).all()
        share = len(set(one.rows.tolist())) / 1000
        assert abs(share - 0.632) < 0.03
    assert not torch.equal(drawn[0].rows, drawn[1].rows)
    assert torch.equal(changed("bootstrap", split).rows, drawn[0].rows)
    values = replace(split, examples=Examples(split.examples.inputs, torch.randn(1006)))
    assert len(changed("bootstrap", values).rows) == 1000


def test_members_of_a_population_are_bagged() -> None:
    one, train = (
        problem_of(Task(data=frame())),
        member(plain()).train,
    )  # its own: it forgets old fits
    recipe = plain().with_("bootstrap")
    first, second, again = (one.fit(recipe, train, seed) for seed in (1, 2, 1))
    assert not torch.equal(first.rows, second.rows)
    assert first is again
    assert one.fit(plain(), train, 1) is one.fit(plain(), train, 2)
    members = [replace(member(recipe, seed), train=train) for seed in (1, 2)]
    population = Population(one, members, SerialStepper())
    assert torch.equal(population.fits[1].rows, second.rows)
    assert population.advance(2).isfinite().all()


def _batch(probability: float, name: str) -> tuple[Batch, Batch]:
    """Returns a batch of 200 rows for two members before and after."""
    numbers = torch.arange(2 * 200 * 3.0).view(2, 200, 3) + 1
    codes = (torch.arange(2 * 200 * 2) % 7 + 1).view(2, 200, 2)
    batch = Batch({"numeric": numbers, "categorical": codes}, Targets(torch.zeros(2, 200)))
    settings = Namespace({"probability": torch.tensor([probability, 0.0])})
    key = torch.tensor([4, 5], dtype=torch.int32)
    return batch, technique(name).apply(batch, settings, key)


def test_features_are_hidden() -> None:
    before, after = _batch(0.3, "masking")
    for name, x in after.inputs.items():
        hidden = x[0] == 0
        assert abs(float(hidden.float().mean()) - 0.3) < 0.06
        assert torch.equal(x[0][~hidden], before.inputs[name][0][~hidden])
        assert torch.equal(x[1], before.inputs[name][1])
        assert not torch.equal(hidden[:, 0], hidden[:, 1])


def test_features_are_other_rows() -> None:
    before, after = _batch(0.3, "swap_noise")
    x, old = after.inputs["numeric"], before.inputs["numeric"]
    assert torch.equal(x[1], old[1])
    swapped = x[0] != old[0]
    assert abs(float(swapped.float().mean()) - 0.3) < 0.06
    for column in range(3):
        assert torch.isin(x[0, :, column], old[0, :, column]).all()
    assert len(set(x[0, :, 0][swapped[:, 0]].tolist())) > 30
    assert after.targets is before.targets
