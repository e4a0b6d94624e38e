"""One suite that every technique must pass, however it joins."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest
import torch
from problems import ALL_ROWS, TRAIN, VALID, member, plain, problem
from techniques.placebo import PLACEBO, ROW
from techniques.rows import ROW_ROWS, ROW_TECHNIQUES
from techniques.table import ROWS, Row

from pawl.deployment.export import check_parity
from pawl.models import Deployed
from pawl.recipe import Recipe
from pawl.techniques import (
    Facts,
    Stage,
    Technique,
    excludes,
    register,
    techniques,
    unregister,
)
from pawl.techniques import technique as named
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population, Stepper
from pawl.training.serial import SerialStepper
from pawl.training.trained import Part, Trained

Check = Callable[[Technique, Row], None]
Pair = frozenset[Technique]
STEPPED = [t for t in techniques() if t.stage is not Stage.FIT]
NAMES = [t.name for t in STEPPED]
STEPS = 13
SPLIT_STEPS = (5, 4, 4)
assert sum(SPLIT_STEPS) == STEPS

# Batch normalization takes away what a bias in front of it adds, so that such a bias has no
# gradient but rounding, and two correct steppers may disagree about it. In eight bits rounding is large.
WEIGHTS_ATOL = {"batch_norm": 2e-3, "mixed_precision": 2e-3, "squeeze_excite": 2e-4}
RTOL = {"mixed_precision": 5e-3}
STEPS_TO_CHANGE = {"output_clamping": 40}  # until something is predicted beyond the limits
SAME_NUMBERS = {"channels_last"}
_VALUES = ("regression", "multitarget")
_CLASSES = (*_VALUES, "multilabel")
NOT_FOR = {
    "balanced_sampling": _CLASSES,
    "class_weights": _CLASSES,
    "confidence_penalty": _VALUES,
    "focal_loss": _VALUES,
    "generalized_cross_entropy": _VALUES,
    "label_smoothing": _CLASSES,
    "logit_adjustment": _VALUES,
    "mixup": ("tokens",),
    "poly_loss": _VALUES,
    "smote": _CLASSES,
}
"""Kinds that a technique for tables does not fit."""


def row_of(name: str) -> Row:
    if name not in ROWS:
        pytest.fail(f"technique {name!r} has no row in tests/techniques/table.py; add one")
    return ROWS[name]


def recipe_of(name: str, settings: dict[str, Any]) -> Recipe:
    return plain().with_(name, **settings)


def members_of(row: Row) -> list[Member]:
    return [
        member(recipe_of(row.name, settings), seed)
        for seed, settings in enumerate(row.settings, start=1)
    ]


def population(row: Row, members: Sequence[Member], stepper: Stepper) -> Population:
    return Population(problem(row.accepts), members, stepper)


def predict(trained: Population) -> torch.Tensor:
    return trained.predict(trained.problem.examples, ALL_ROWS)


def check_record(technique: Technique, row: Row) -> None:
    """The record says all that listings, the search space and the report need."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", technique.name)
    assert technique.summary.endswith(".")
    assert "\n" not in technique.summary
    assert technique.reference.strip()
    assert technique.apply.__doc__
    fields = technique.settings.model_fields
    assert technique.memberwise <= set(fields)
    technique.settings()
    for name, field in fields.items():
        assert field.description, f"{technique.name}.{name} has no description"
        bounds: dict[type, Any] = {type(item): item for item in field.metadata}
        if get_origin(field.annotation) is Literal:
            assert len(get_args(field.annotation)) > 1
            assert field.default in get_args(field.annotation)
            assert name not in technique.memberwise
        elif get_origin(field.annotation) is tuple:
            assert field.json_schema_extra == {"searched": False}
        else:
            assert field.annotation in (int, float)
            low, high = bounds[annotated_types.Ge].ge, bounds[annotated_types.Le].le
            assert low < high
            assert low <= field.default <= high
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("log"):
                assert low > 0


def check_row(technique: Technique, row: Row) -> None:
    """The row differs between members exactly in what is memberwise."""
    assert row.name == technique.name
    for name in technique.settings.model_fields:
        values = {settings.get(name) for settings in row.settings}
        assert len(values) == (len(row.settings) if name in technique.memberwise else 1), name
    structures = {recipe_of(row.name, settings).structure for settings in row.settings}
    assert len(structures) == 1


def check_fits(technique: Technique, row: Row) -> None:
    """It accepts one task, and gives the reason when it rejects another."""
    assert technique.fits(problem(row.accepts).facts()) is None
    if row.rejects is None:
        for kind in ("table", "regression", "images", "codes", "functional", "own_loss"):
            assert technique.fits(problem(kind).facts()) is None, kind
    else:
        reason = technique.fits(problem(row.rejects).facts())
        assert reason
        assert "\n" not in reason


def check_round_trip(technique: Technique, row: Row) -> None:
    """A recipe with it is the same again when read from TOML."""
    for settings in row.settings:
        recipe = recipe_of(row.name, settings)
        again = Recipe.from_toml(recipe.to_toml())
        assert again == recipe
        assert again.id == recipe.id
        for name, value in settings.items():
            assert getattr(again.settings(row.name), name) == value


def check_fused_equals_serial(technique: Technique, row: Row) -> None:
    """Members that differ in seed, rows and every memberwise setting train alike either way."""
    members = members_of(row)
    fused = population(row, members, FusedStepper())
    serial = population(row, members, SerialStepper())
    rtol = RTOL.get(row.name, 1e-4)
    for steps in SPLIT_STEPS:
        torch.testing.assert_close(
            fused.advance(steps), serial.advance(steps), rtol=rtol, atol=rtol / 10
        )
    torch.testing.assert_close(predict(fused), predict(serial), rtol=0, atol=rtol)
    torch.testing.assert_close(
        fused.evaluated()[0],
        serial.evaluated()[0],
        rtol=0,
        atol=WEIGHTS_ATOL.get(row.name, 5e-5),
    )
    assert not torch.allclose(fused.state.weights[0], fused.state.weights[1], atol=1e-3)


def check_alone_equals_among(technique: Technique, row: Row) -> None:
    """A member trains the same alone as among others that come, go and are rolled back."""
    first, second, third = members_of(row)
    among = population(row, [first, second, third], FusedStepper())
    among.advance(5)
    among.keep([2, 1])
    among.advance(2)
    late = member(first.recipe, seed=9)
    among.admit([late])
    among.advance(2)
    before = among.snapshot()
    among.advance(3)
    among.restore(before)
    among.advance(4)
    assert [int(step) for step in among.step] == [STEPS, STEPS, 6]
    for index, (one, steps) in enumerate([(third, STEPS), (second, STEPS), (late, 6)]):
        alone = population(row, [one], FusedStepper())
        alone.advance(steps)
        torch.testing.assert_close(predict(among)[index], predict(alone)[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(
            among.evaluated()[0][index],
            alone.evaluated()[0][0],
            rtol=0,
            atol=WEIGHTS_ATOL.get(row.name, 5e-5),
        )


def check_clone(technique: Technique, row: Row) -> None:
    """A clone has the source's weights and state, and then follows its own settings and seed."""
    for stepper in (FusedStepper(), SerialStepper()):
        trained = population(row, members_of(row), stepper)
        trained.advance(5)
        own = {n: trained.state.buffers[f"{n}.rate"].clone() for n in trained.drawing}
        trained.clone(0, 1)
        torch.testing.assert_close(trained.state.weights[0], trained.state.weights[1])
        for slot in trained.state.slots.values():
            torch.testing.assert_close(slot[0], slot[1])
        for name, rates in own.items():
            torch.testing.assert_close(trained.state.buffers[f"{name}.rate"], rates)
        losses = trained.advance(3)
        assert losses.isfinite().all()
        assert not torch.equal(trained.state.weights[0], trained.state.weights[1])


def check_changes_something(technique: Technique, row: Row) -> None:
    """Training with it is not training without it; only stopping leaves the weights alone."""
    with_it = recipe_of(row.name, row.settings[1])
    if technique.stage is Stage.UPDATE:
        without = plain() if row.name != "momentum" else plain().with_("sgd")
    else:
        without = with_it.without(row.name)
    # One after the other: without it a model may be one that vmap cannot take.
    trained = [population(row, [member(r)], SerialStepper()) for r in (with_it, without)]
    for one in trained:
        one.advance(STEPS_TO_CHANGE.get(row.name, 6))
    same = torch.equal(predict(trained[0]), predict(trained[1]))
    assert same == (technique.stage is Stage.STOP or row.name in SAME_NUMBERS)


def check_every_kind(technique: Technique, row: Row) -> None:
    """It trains for whatever is predicted, fused as serial, or says why it does not fit."""
    if row.accepts != "table":
        return
    for kind in ("regression", "multilabel", "multitarget", "tokens", "sequences"):
        reason = technique.fits(problem(kind).facts())
        if reason is not None:
            assert row.rejects or kind in NOT_FOR[technique.name]
            assert "\n" not in reason
            continue
        assert kind not in NOT_FOR.get(technique.name, ())
        both = [
            Population(problem(kind), members_of(row), stepper)
            for stepper in (FusedStepper(), SerialStepper())
        ]
        losses = [one.advance(4) for one in both]
        rtol = RTOL.get(row.name, 1e-4)
        torch.testing.assert_close(*losses, rtol=rtol, atol=rtol / 10)
        fused, serial = (one.predict(one.problem.examples, ALL_ROWS) for one in both)
        scale = float(serial.std())
        torch.testing.assert_close(fused, serial, rtol=rtol, atol=rtol * max(1.0, scale))


CHECKS: tuple[Check, ...] = (
    check_record,
    check_row,
    check_fits,
    check_round_trip,
    check_fused_equals_serial,
    check_alone_equals_among,
    check_clone,
    check_changes_something,
    check_every_kind,
)


def _id(check: Check) -> str:
    return check.__name__.removeprefix("check_")


@pytest.mark.parametrize("check", CHECKS, ids=_id)
@pytest.mark.parametrize("name", NAMES)
def test_technique(name: str, check: Check) -> None:
    check(next(t for t in techniques() if t.name == name), row_of(name))


def test_the_table_has_no_rows_without_a_technique() -> None:
    assert set(ROWS) <= {t.name for t in techniques()}


@pytest.fixture
def placebo() -> Iterator[Technique]:
    yield register(PLACEBO)
    unregister(PLACEBO.name)


@pytest.mark.parametrize("check", CHECKS, ids=_id)
def test_a_technique_joins_by_being_registered(placebo: Technique, check: Check) -> None:
    assert placebo in techniques()
    check(placebo, ROW)


@pytest.fixture
def row_techniques() -> Iterator[None]:
    for technique in ROW_TECHNIQUES:
        register(technique)
    yield
    for technique in ROW_TECHNIQUES:
        unregister(technique.name)


@pytest.mark.usefixtures("row_techniques")
@pytest.mark.parametrize("check", CHECKS, ids=_id)
@pytest.mark.parametrize("technique", ROW_TECHNIQUES, ids=lambda t: t.name)
def test_a_technique_that_changes_rows(technique: Technique, check: Check) -> None:
    check(technique, ROW_ROWS[technique.name])


def test_a_technique_without_a_row_is_named(placebo: Technique) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"'placebo' has no row .* add one"):
        row_of(placebo.name)


@functools.cache
def facts_of(kind: str) -> Facts:
    return problem(kind).facts()


def meeting(first: Technique, second: Technique) -> str | None:
    """Returns the kind of problem that a pair is tried on; `None` if each is for something else."""
    special = {_row(t.name).accepts for t in (first, second)} - {"table"}
    kind = min(special, default="table")
    if first.fits(facts_of(kind)) or second.fits(facts_of(kind)):
        assert special, f"{first.name} or {second.name} does not fit {kind}"
        return None
    return kind


def _row(name: str) -> Row:
    return ROW_ROWS.get(name) or row_of(name)


def compose(together: Sequence[str], kind: str) -> None:
    tables = plain().without("standardize").to_dict()
    for group in {named(name).group for name in together} - {None}:
        tables = {n: own for n, own in tables.items() if named(n).group != group}
    members = [
        member(Recipe.from_dict(tables | {n: _row(n).settings[i] for n in together}), seed=i)
        for i in range(2)
    ]
    trained = Population(problem(kind), members, FusedStepper())
    assert trained.advance(2).isfinite().all()
    assert predict(trained).isfinite().all()


def compose_all(pairs: Iterable[tuple[Technique, Technique]]) -> int:
    """Tries all pairs, many in one recipe, since a recipe of twenty has 190.

    Where one fails, its pairs are tried one by one, so that the failure is a pair's if there is one.

    Returns:
        How many recipes that took.
    """
    left: dict[str, set[frozenset[str]]] = {}
    for first, second in pairs:
        if not excludes(first, second) and (kind := meeting(first, second)):
            left.setdefault(kind, set()).add(frozenset((first.name, second.name)))
    count = 0
    for kind, open_pairs in left.items():
        while open_pairs:
            together = _together(open_pairs)
            own = [p for p in itertools.combinations(together, 2) if frozenset(p) in open_pairs]
            try:
                compose(together, kind)
            except Exception:
                for pair in own:
                    compose(pair, kind)
                raise
            open_pairs.difference_update(map(frozenset, own))
            count += 1
    return count


def _together(open_pairs: set[frozenset[str]]) -> list[str]:
    """Returns techniques that go together, with many of the open pairs among them."""
    gains = Counter(name for pair in open_pairs for name in pair)
    free, together = {name: named(name) for name in gains}, list[str]()
    while gains:
        best = max(gains, key=lambda name: (gains[name], name))
        chosen = free.pop(best)
        free = {name: t for name, t in free.items() if not excludes(t, chosen)}
        together.append(best)
        found = {n: sum(frozenset((n, other)) in open_pairs for other in together) for n in free}
        gains = Counter({name: gain for name, gain in found.items() if gain})
    return together


def test_every_pair_composes_or_is_excluded() -> None:
    pairs = list(itertools.combinations(STEPPED, 2))
    assert compose_all(pairs) < len(pairs) / 4


@pytest.mark.usefixtures("row_techniques")
def test_techniques_that_change_rows_compose_with_all_others() -> None:
    compose_all(itertools.product(ROW_TECHNIQUES, [t for t in STEPPED if t not in ROW_TECHNIQUES]))


def test_a_pair_that_does_not_compose_is_named(placebo: Technique) -> None:
    def refuse(tables: dict[str, Any]) -> None:
        if {"dropout", "l1"} <= set(tables):
            raise RuntimeError(f"not with each other, of {len(tables)}")

    chosen = [named(n) for n in ("batch_norm", "cosine", "dropout", "l1", "ema", "noise")]
    compose_all(itertools.combinations(chosen, 2))
    original = Recipe.from_dict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "from_dict", lambda tables: refuse(tables) or original(tables))
        # The pair alone, with the batch size and the optimizer.
        with pytest.raises(RuntimeError, match="not with each other, of 4"):
            compose_all(itertools.combinations(chosen, 2))


def test_what_a_pair_excludes_is_symmetric() -> None:
    for first, second in itertools.combinations(techniques(), 2):
        assert excludes(first, second) == excludes(second, first)


@pytest.mark.parametrize(
    ("kind", "tables"),
    [
        (
            "table",
            {
                "standardize": {},
                "residual": {},
                "width": {"factor": 0.5},
                "depth": {"layers": 3},
                "activation": {"function": "prelu"},
                "batch_norm": {},
                "dropout": {"rate": 0.2},
                "ema": {"horizon": 12.0},
            },
        ),
        (
            "images",
            {"normalize": {}, "activation": {"function": "silu"}, "layer_norm": {}, "dropout": {}},
        ),
    ],
)
def test_a_model_with_many_techniques_exports(kind: str, tables: dict[str, Any]) -> None:
    task = problem(kind)
    one = member(plain(**tables))
    trained = Population(task, [one], SerialStepper())
    trained.advance(6)
    front, body, fitted = task.build(one.recipe, one.seed, one.train)
    weights, buffers = trained.evaluated()
    state = {**trained.layout.views(weights[0]), **{k: v[0] for k, v in buffers.items()}}
    body.load_state_dict(state)
    model = Deployed(task.schema, front, body, fitted.target_mean, fitted.target_std, fitted.limits)
    rows = task.examples.take(ALL_ROWS)
    predictor = Trained((Part(one.recipe, one.seed),), model)
    check_parity(predictor, predictor.graph(rows.take(ALL_ROWS[:4])), rows)
    with torch.no_grad():
        deployed = model(*rows.inputs.values())
    torch.testing.assert_close(deployed, predict(trained)[0], rtol=0, atol=1e-5)
    assert len(deployed) == TRAIN + VALID
