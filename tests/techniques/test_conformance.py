"""One suite that every technique must pass, however it joins."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
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
from pawl.techniques import Stage, Technique, excludes, register, techniques, unregister
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
WEIGHTS_ATOL = {"batch_norm": 2e-3, "mixed_precision": 2e-3}
RTOL = {"mixed_precision": 5e-3}
NOT_FOR = {
    "label_smoothing": ("regression", "multilabel", "multitarget"),
    "mixup": ("tokens",),
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
    trained = [population(row, [member(r)], FusedStepper()) for r in (with_it, without)]
    for one in trained:
        one.advance(6)
    same = torch.equal(predict(trained[0]), predict(trained[1]))
    assert same == (technique.stage is Stage.STOP)


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


_TOGETHER = 6
Kind = Literal["table", "images", "tokens"]


def row_for(technique: Technique) -> Row:
    return ROW_ROWS.get(technique.name) or row_of(technique.name)


def fresh_pairs(one: Technique, group: Sequence[Technique], left: set[Pair]) -> int:
    if one in group or any(excludes(one, other) for other in group):
        return 0
    return sum(frozenset((one, other)) in left for other in group)


def together(pool: Sequence[Technique], wanted: set[Pair]) -> Iterator[tuple[Technique, ...]]:
    """Yields few groups of techniques, none of which excludes another, that hold all wanted pairs."""
    left = set(wanted)
    while left:
        group = list(min(left, key=lambda pair: sorted(t.name for t in pair)))
        while len(group) < _TOGETHER:
            best = max(pool, key=lambda one: fresh_pairs(one, group, left))
            if not fresh_pairs(best, group, left):
                break
            group.append(best)
        left -= {frozenset(pair) for pair in itertools.combinations(group, 2)}
        yield tuple(group)


def compose(group: Sequence[Technique], kind: Kind) -> None:
    members = []
    for i in range(2):
        recipe = plain().without("standardize")
        for t in group:
            recipe = recipe.with_(t.name, **row_for(t).settings[i])
        members.append(member(recipe, seed=i))
    for one in members:
        assert {t.name for t in group} <= {t.name for t, _ in one.recipe}
    trained = Population(problem(kind), members, FusedStepper())
    assert trained.advance(2).isfinite().all()
    assert predict(trained).isfinite().all()


def compose_pairs(pool: Sequence[Technique], wanted: Callable[[Pair], bool]) -> None:
    """Trains every wanted pair that fits a task of some kind together, several pairs at a time."""
    done = set[Pair]()
    kinds: tuple[Kind, ...] = ("table", "images", "tokens")
    for kind in kinds:
        facts = problem(kind).facts()
        fitting = [t for t in pool if t.fits(facts) is None]
        pairs = {frozenset(pair) for pair in itertools.combinations(fitting, 2)} - done
        pairs = {pair for pair in pairs if wanted(pair) and not excludes(*pair)}
        for group in together(fitting, pairs):
            try:
                compose(group, kind)
            except Exception as error:
                error.add_note(f"together, on {kind}: {', '.join(t.name for t in group)}")
                raise
        done |= pairs
    for pair in {frozenset(pair) for pair in itertools.combinations(pool, 2)} - done:
        if wanted(pair) and not excludes(*pair):  # they are for unlike inputs
            assert len({row_for(t).accepts for t in pair}) == 2


def test_every_pair_composes_or_is_excluded() -> None:
    compose_pairs(STEPPED, lambda _: True)


@pytest.mark.usefixtures("row_techniques")
def test_techniques_that_change_rows_compose_with_all_others() -> None:
    compose_pairs([*ROW_TECHNIQUES, *STEPPED], lambda pair: any(t in ROW_TECHNIQUES for t in pair))


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
    model = Deployed(task.schema, front, body, fitted.target_mean, fitted.target_std)
    rows = task.examples.take(ALL_ROWS)
    predictor = Trained((Part(one.recipe, one.seed),), model)
    check_parity(predictor, predictor.graph(rows.take(ALL_ROWS[:4])), rows)
    with torch.no_grad():
        deployed = model(*rows.inputs.values())
    torch.testing.assert_close(deployed, predict(trained)[0], rtol=0, atol=1e-5)
    assert len(deployed) == TRAIN + VALID
