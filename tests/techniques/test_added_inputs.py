"""Inputs that front layers add: pairs of columns, target means; and limits of what is predicted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import ALL_ROWS, TRAIN, member, plain, problem, problem_of
from sklearn.preprocessing import TargetEncoder

from pawl.deployment.export import check_parity
from pawl.kinds import KINDS
from pawl.models import Pairs
from pawl.models.added_inputs import PRODUCT, RATIO, SUM
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import Split, technique
from pawl.techniques.data.pair_features import Candidate, best
from pawl.training.fits import fit_member
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.trained import untrained

NO_CODES: list[np.ndarray[Any, Any]] = []


def split_of(kind: str, rows: torch.Tensor) -> Split:
    one = problem(kind)
    layers = one.modality.base_layers(one.schema, one.examples, rows)
    return Split(one.examples, rows, layers, schema=one.schema, seed=3)


@pytest.mark.parametrize("kind", ["table", "regression", "multilabel"])
def test_other_rows_get_scikit_learns_means(kind: str) -> None:
    split = split_of(kind, torch.arange(TRAIN))
    encoding = technique("target_encoding")
    found = encoding.apply(split, encoding.settings(smoothing=7.0))
    assert isinstance(found, Split)
    columns = split.examples.inputs["categorical"]
    targets = split.examples.known_targets
    each = [targets] if targets.dim() == 1 else list(targets.T)
    wanted = []
    for target in each:
        own = target[:TRAIN].double()
        if KINDS[problem(kind).schema.kind].scaled:
            own = (own - own.mean()) / own.std(correction=0)
        encoder = TargetEncoder(
            smooth=7.0, target_type="continuous" if kind == "regression" else "binary"
        )
        encoder.fit(columns[:TRAIN].numpy(), own.numpy())
        wanted.append(encoder.transform(columns.numpy()))
    got = found.layers[-1](split.examples.inputs)["target_means"].numpy()
    np.testing.assert_allclose(
        got.reshape(len(columns), 2, len(each)), np.stack(wanted, -1), rtol=1e-5, atol=1e-6
    )
    (spec,) = found.more
    assert spec.shape == (2 * len(each),)
    assert spec.features[0] == "color:mean"


def test_a_row_that_trains_gets_means_of_others() -> None:
    split = split_of("regression", torch.arange(TRAIN))
    encoding = technique("target_encoding")
    found = encoding.apply(split, encoding.settings(smoothing=2.0))
    assert isinstance(found, Split)
    known = found.known["target_means"]
    full = found.layers[-1](split.examples.inputs)["target_means"]
    targets = split.examples.known_targets[:TRAIN].double()
    values = (targets - targets.mean()) / targets.std(correction=0)
    codes = split.examples.inputs["categorical"][:TRAIN, 0]
    # Whatever a row's own target is, its own mean stays.
    for row in range(0, TRAIN, 7):
        changed = split.examples.known_targets.clone()
        changed[row] += 50.0
        other = encoding.apply(
            replace(split, examples=replace(split.examples, targets=changed)),
            encoding.settings(smoothing=2.0),
        )
        assert isinstance(other, Split)
        own = (changed[:TRAIN] - changed[:TRAIN].mean()) / changed[:TRAIN].std(correction=0)
        # Values are in units of a deviation that has changed too.
        back = other.known["target_means"][row] * changed[:TRAIN].std(correction=0)
        back = (back + changed[:TRAIN].mean() - targets.mean().float()) / targets.std(correction=0)
        torch.testing.assert_close(back.float(), known[row], rtol=1e-3, atol=1e-3)
        assert not torch.equal(own, values.float())
    # A fifth of the rows share the means that they were left out of.
    of_code = known[:TRAIN, 0][codes == 1]
    assert len(of_code.unique()) == 5
    assert not torch.isin(full[:TRAIN, 0][codes == 1].unique(), of_code).any()
    assert bool((known[TRAIN:] == 0).all())


def test_rare_categories_do_not_give_their_targets_away() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "who": [f"person {i // 2}" for i in range(400)],
            "x": generator.normal(size=400),
            "target": generator.normal(size=400),
        }
    )
    one = problem_of(Task(data=frame, target="target", kind="regression"))
    assert one.schema.inputs[-1].cardinalities
    rows = torch.arange(len(one.examples))
    split = Split(one.examples, rows, (), schema=one.schema)
    encoding = technique("target_encoding")
    found = encoding.apply(split, encoding.settings(smoothing=1.0))
    assert isinstance(found, Split)
    targets = one.targets.numpy()
    full = found.layers[-1](one.examples.inputs)["target_means"].numpy()[:, 0]
    assert np.corrcoef(full, targets)[0, 1] > 0.6
    own = found.known["target_means"].numpy()[:, 0]
    assert abs(np.corrcoef(own, targets)[0, 1]) < 0.2
    repeated = replace(split, rows=torch.cat([rows, rows]))
    twice = encoding.apply(repeated, encoding.settings(smoothing=1.0))
    assert isinstance(twice, Split)
    again = twice.known["target_means"].numpy()[:, 0]
    assert abs(np.corrcoef(again, targets)[0, 1]) < 0.2


def test_added_inputs_are_scaled_and_taken_by_the_network() -> None:
    one, train = problem("table"), member(plain()).train
    recipe = plain(target_encoding={}, pair_features={"count": 4})
    front, body, fitted = one.build(recipe, 1, train)
    inputs = fitted.take(one.examples, fitted.rows).inputs
    seen = front({**inputs, **fitted.known})
    for name, width in (("target_means", 2), ("pairs", 4)):
        assert seen[name].shape == (TRAIN, width)
        torch.testing.assert_close(seen[name].mean(0), torch.zeros(width), rtol=0, atol=1e-4)
        torch.testing.assert_close(
            seen[name].std(0, correction=0), torch.ones(width), rtol=0, atol=1e-3
        )
    plain_width = one.build(plain(), 1, train)[1].stem.layer.in_features  # type: ignore[union-attr]
    assert body.stem.layer.in_features == plain_width + 6  # type: ignore[union-attr]
    deeper = recipe.with_("depth", layers=3).with_("piecewise_linear", bins=8)
    assert one.build(deeper, 1, train)[1](seen).shape == (TRAIN, 2)


@pytest.mark.parametrize("stepper", [FusedStepper(), SerialStepper()], ids=lambda s: s.name)
@pytest.mark.parametrize("more", [{}, {"swap_noise": {"probability": 0.2}}])
def test_training_uses_what_is_known(stepper: Any, more: dict[str, Any]) -> None:
    one = problem("table")
    recipe = plain(target_encoding={"smoothing": 1.0}, **more)
    members = [member(recipe, 1), member(recipe, 2)]
    losses = []
    for wrong in (False, True):
        population = Population(one, members, stepper)
        if wrong:
            for i, fit in enumerate(population.fits):
                known = {name: torch.zeros_like(x) for name, x in fit.known.items()}
                population.fits[i] = replace(fit, known=known)
        losses.append(population.advance(4))
    assert not torch.allclose(*losses, atol=1e-4)


def test_pairs_are_what_they_say() -> None:
    x = torch.tensor([[2.0, 4.0, -0.001], [3.0, -5.0, 0.0]])
    layer = Pairs(
        "pairs", "x", torch.tensor([0, 0, 1, 0]), torch.tensor([1, 1, 0, 2]),
        torch.tensor([PRODUCT, SUM, RATIO, RATIO]), torch.tensor([1.0, -1.0, 0.0, 0.0]),
        torch.tensor([2.0, 0.0, 0.1, 0.5]),
    )  # fmt: skip
    found = layer({"x": x})["pairs"]
    wanted = [[1 * 2, -2, 2, 2 / -0.5], [2 * -7, 8, -5 / 3, 3 / 0.5]]
    torch.testing.assert_close(found, torch.tensor(wanted))
    for i in range(4):
        way, p, q = int(layer.way[i]), float(layer.p[i]), float(layer.q[i])
        candidate = Candidate(int(layer.first[i]), int(layer.second[i]), way, p, q)
        np.testing.assert_allclose(candidate.of(x.double().numpy()), found[:, i], rtol=1e-6)


@pytest.mark.parametrize(
    ("way", "made"),
    [
        (PRODUCT, lambda a, b: (a - 5) * (b - 5)),
        (RATIO, lambda a, b: a / b),
        (SUM, lambda a, b: np.where(a - 5 > 5 - b, 4.0, 0.0)),
    ],
)
def test_the_pair_that_matters_comes_first(way: int, made: Any) -> None:
    generator = np.random.default_rng(2)
    x = generator.uniform(1, 9, size=(1500, 6))
    signal = made(x[:, 1], x[:, 4])
    target = signal / signal.std() + 3 * x[:, 0] + np.sin(x[:, 2]) + generator.normal(size=1500)
    found = best(x, target[:, None], 4, NO_CODES)
    assert {found[0].first, found[0].second} == {1, 4}
    assert found[0].way == way
    assert len(found) == len(set(found)) == 4


def test_few_columns_have_few_pairs() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert len(best(x, x[:, :1], 16, NO_CODES)) == 5
    constant = np.ones((50, 3))
    assert len(best(constant, x[:, :1], 8, NO_CODES)) == 8


def test_learners_learn_from_pairs() -> None:
    generator = np.random.default_rng(4)
    frame = pd.DataFrame(generator.normal(size=(400, 4)), columns=list("abcd"))
    frame["target"] = frame["a"] * frame["c"] + 0.1 * generator.normal(size=400)
    one = problem_of(Task(data=frame, target="target", metric="r2"))
    scores = []
    for recipe in (Recipe.of(linear={}), Recipe.of(linear={}, pair_features={"count": 4})):
        outcome, trained = fit_member(one, member(recipe, 1, train=200, valid=100))
        scores.append(outcome.score)
        rows = one.examples.take(torch.arange(20))
        assert trained.predict(rows, torch.device("cpu")).isfinite().all()
    assert scores[0] < 0.1
    assert scores[1] > 0.9


def test_predictions_stay_within_the_training_targets() -> None:
    one = problem("regression")
    train = member(plain()).train
    recipes = [plain(), plain(output_clamping={"tail": 0.1})]
    found = []
    for recipe in recipes:
        population = Population(one, [replace(member(recipe, 1), train=train)], SerialStepper())
        population.advance(60)
        found.append(population.predict(one.examples, ALL_ROWS)[0])
    low, high = np.quantile(one.targets[train].double().numpy(), [0.1, 0.9]).astype(np.float32)
    assert float(found[0].min()) < low
    assert float(found[0].max()) > high
    torch.testing.assert_close(found[1], found[0].clamp(float(low), float(high)))
    fresh = untrained(one, recipes[1].with_("output_clamping", tail=0.0), 1, train).model
    torch.nn.init.constant_(fresh.body.out.bias, 1e3)  # type: ignore[union-attr, arg-type]
    rows = one.examples.take(ALL_ROWS[:9])
    predicted = fresh(*rows.inputs.values())
    torch.testing.assert_close(predicted, one.targets[train].max().expand(9))


def test_what_layers_add_is_in_the_graph() -> None:
    one = problem("regression")
    train = member(plain()).train
    recipe = plain(target_encoding={}, pair_features={"count": 4}, output_clamping={})
    trained = untrained(one, recipe.with_("quantile_normal", knots=16), 1, train)
    rows = one.examples.take(ALL_ROWS)
    check_parity(trained, trained.graph(rows.take(ALL_ROWS[:4])), rows)
