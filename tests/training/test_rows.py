"""Techniques that change which rows train: known answers, unequal counts, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import torch
from problems import ALL_ROWS, TRAIN, member, plain, problem
from techniques.rows import ROW_TECHNIQUES
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import TrialError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.execution.packing import _packs
from pawl.recipe import Recipe
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.seat import Seat
from pawl.techniques import DataTechnique, Split, register, unregister
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

Change = Callable[[Split, Any], Split]
STEPPERS: list[Callable[[], Stepper]] = [
    FusedStepper,
    SerialStepper,
    lambda: FusedStepper(backend="eager", width=2),
]
IDS = ["fused", "serial", "compiled"]
# All rows in one batch, and nothing fitted to them: what trains them is then known.
WHOLE = plain(batch_size={"size": 256}, l1={"strength": 0.001}).without("standardize")


@pytest.fixture(autouse=True)
def _row_techniques() -> Iterator[None]:
    for technique in ROW_TECHNIQUES:
        register(technique)
    yield
    for technique in ROW_TECHNIQUES:
        unregister(technique.name)


@pytest.fixture
def with_change() -> Iterator[Callable[[str, Change], None]]:
    names: list[str] = []

    def add(name: str, change: Change) -> None:
        register(DataTechnique(name=name, summary=".", reference=".", apply=change))
        names.append(name)

    yield add
    for name in names:
        unregister(name)


def even(split: Split) -> Tensor:
    return split.rows % 2 == 0


def weighed(low: float, high: float) -> Change:
    def change(split: Split, _: Any) -> Split:
        weights = torch.full((len(split.examples),), low)
        weights[::2] = high
        return dataclasses.replace(split, weights=weights)

    return change


def named_again(split: Split, _: Any) -> Split:
    return dataclasses.replace(split, rows=torch.cat([split.rows, split.rows[even(split)]]))


def left_out(split: Split, _: Any) -> Split:
    return dataclasses.replace(split, rows=split.rows[even(split)])


def added(split: Split, _: Any) -> Split:
    return split.add(split.examples.take(split.rows[even(split)]))


def added_weighed(split: Split, _: Any) -> Split:
    """Weighs all rows by 7, and then adds some, which weigh as much."""
    return added(dataclasses.replace(split, weights=torch.full((len(split.examples),), 7.0)), None)


def flipped(split: Split, _: Any) -> Split:
    assert split.examples.targets is not None
    return dataclasses.replace(
        split, examples=Examples(split.examples.inputs, 1 - split.examples.targets)
    )


def weights_of(one: Problem, recipe: Recipe, stepper: Stepper, steps: int = 8) -> Tensor:
    members = [member(recipe, seed, epochs=steps) for seed in (1, 2)]
    population = Population(one, members, stepper)
    population.advance(steps - 3)
    population.advance(3)
    return population.state.weights


@pytest.mark.parametrize("stepper", STEPPERS, ids=IDS)
@pytest.mark.parametrize("kind", ["table", "own_loss"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (weighed(1.0, 2.0), named_again),
        (weighed(0.0, 3.0), left_out),
        (added, named_again),
        (added_weighed, named_again),
        (weighed(5.0, 5.0), lambda split, _: split),
    ],
    ids=["twice as much", "nothing", "added", "added to weighed", "all alike"],
)
def test_weights_and_copies_of_rows_have_known_answers(
    one: Change,
    other: Change,
    kind: str,
    stepper: Callable[[], Stepper],
    with_change: Callable[[str, Change], None],
) -> None:
    with_change("one", one)
    with_change("other", other)
    table = problem(kind)
    first, second = (
        weights_of(table, WHOLE.with_(name, **{}), stepper()) for name in ("one", "other")
    )
    torch.testing.assert_close(first, second, rtol=0, atol=2e-5)
    assert not torch.allclose(first[0], first[1], atol=1e-3)


@pytest.mark.parametrize("stepper", STEPPERS, ids=IDS)
def test_changed_rows_train_and_are_judged_as_they_were_read(
    stepper: Callable[[], Stepper], with_change: Callable[[str, Change], None]
) -> None:
    with_change("flipped", flipped)
    one = problem("table")
    scores = {}
    for recipe in (plain(), plain(flipped={})):
        run = Run(Population(one, [member(recipe, 1, epochs=20)], stepper()))
        run.segment()
        run.segment()
        scores[recipe.id] = run.scores()[0]
    right, wrong = scores.values()
    assert right > 0.8
    assert wrong < 0.2


def test_mixed_rows_keep_the_weights_of_both(with_change: Callable[[str, Change], None]) -> None:
    """Rows that weigh nothing teach nothing, also as partners."""
    one, seen = problem("table"), []

    def change(split: Split, _: Any) -> Split:
        return dataclasses.replace(split, weights=(one.targets == 0).float())

    with_change("one_class", change)
    for stepper in (FusedStepper(), SerialStepper()):
        recipe = plain(one_class={}, mixup={"alpha": 1.0})
        population = Population(one, [member(recipe, s, epochs=40) for s in (1, 2)], stepper)
        population.advance(100)
        seen.append(population.predict(one.examples, ALL_ROWS))
    torch.testing.assert_close(*seen, rtol=0, atol=1e-4)
    assert (seen[0].argmax(-1) == 0).all()


def test_members_of_unequal_counts_have_steps_and_evaluations_of_their_own() -> None:
    """96, 64 and 33 training rows in batches of 32: 3, 2 and 1 steps for each of 8 epochs."""
    recipe = plain().without("batch_size").with_("batch_size", size=32)
    members = [
        member(recipe, 1),
        member(recipe, 2, train=64, valid=12),
        member(recipe, 3, train=33),
    ]
    for stepper in (FusedStepper(), SerialStepper()):
        run = Run(Population(problem("table"), members, stepper))
        assert run.population.steps_per_epoch.tolist() == [3, 2, 1]
        assert run.population.total.tolist() == [24, 16, 8]
        assert run.interval.tolist() == [12, 10, 10]
        ended: dict[int, list[int]] = {}
        scores = {}
        while len(run.population):
            run.segment()
            for outcome in run.release(run.finished()):
                ended[outcome.member.seed] = [point.step for point in outcome.curve]
                scores[outcome.member.seed] = outcome.score
        assert ended == {1: [12, 24], 2: [10, 16], 3: [8]}
        for one in members:
            alone = Run(Population(problem("table"), [one], SerialStepper()))
            while not alone.finished():
                alone.segment()
            assert scores[one.seed] == pytest.approx(alone.scores()[0], abs=1e-4)


def test_members_of_unequal_counts_are_packed_together() -> None:
    recipes = [plain(drop_rows={"share": share}) for share in (0.1, 0.5)]
    members = [member(recipes[0], 1), member(recipes[1], 2), member(recipes[0], 3, train=64)]
    jobs = [Job(one, ALL_ROWS) for one in members]
    plan = Plan(TrainingWay("fused", 2), "")
    assert len(_packs(jobs, lambda _: plan)) == 1
    together = train_all(problem("table"), jobs, lambda _: plan)
    for job, result in zip(jobs, together, strict=True):
        (alone,) = train_all(problem("table"), [job], lambda _: Plan(TrainingWay("serial", 1), ""))
        assert [p.step for p in result.outcome.curve] == [p.step for p in alone.outcome.curve]
        assert result.predictions is not None
        assert alone.predictions is not None
        torch.testing.assert_close(result.predictions, alone.predictions, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["fused", "serial"])
def test_halving_judges_members_at_shares_of_their_own_length(
    mode: Literal["fused", "serial"],
) -> None:
    """Of 96 rows 92, 78 or 24 are left, which are 2, 2 and 1 batches in each of 40 epochs."""
    shares = (0.05, 0.2, 0.75) * 3
    recipes = [
        plain(drop_rows={"share": share}, momentum={"learning_rate": 0.001 * (1 + index)})
        for index, share in enumerate(shares)
    ]
    split = member(recipes[0], 0)
    with Board(({} for _ in recipes), lockstep=True) as board:
        seat = Seat(
            lambda report: board.ask(0, report)[0],
            lambda number, _: (Member(recipes[number], number, split.train, split.valid, 40),),
        )
        found = run_or_record(
            problem("table"), Plan(TrainingWay(mode, 3), ""), seat, 3, heartbeat=lambda: None
        )
    assert sorted(one.outcome.member.seed for one in found) == list(range(9))
    lengths = set()
    for one in found:
        member_ = one.outcome.member
        alone = Population(problem("table"), [member_], SerialStepper())
        total, every = int(alone.total), int(Run(alone).interval)
        lengths.add(total)
        steps = [point.step for point in one.outcome.curve]
        assert steps == [*range(every, steps[-1], every), steps[-1]]
        assert one.outcome.status in ("completed", "pruned")
        assert (steps[-1] == total) == (one.outcome.status == "completed")
        rungs = [rung for rung, share in enumerate((1 / 9, 1 / 3)) if steps[-1] >= share * total]
        assert sorted(one.rungs) == rungs
    assert len(lengths) > 1
    assert {one.outcome.status for one in found} == {"completed", "pruned"}


@pytest.mark.parametrize("backend", [None, "eager"])
def test_members_of_fewer_rows_than_a_batch_train_beside_others(backend: str | None) -> None:
    one = problem("table")
    recipes = [
        plain(drop_rows={"share": share}, batch_size={"size": 64}) for share in (0.1, 0.5, 0.8)
    ]
    members = [member(recipe, seed) for seed, recipe in enumerate(recipes)]
    among = Population(one, members[:2], FusedStepper(backend=backend, width=2))
    among.advance(3)
    among.admit(members[2:])
    among.advance(4)
    among.keep([2, 0])
    among.advance(2)
    for index, (seed, steps) in enumerate([(2, 6), (0, 9)]):
        alone = Population(one, [members[seed]], SerialStepper())
        alone.advance(steps)
        torch.testing.assert_close(
            among.state.weights[index], alone.state.weights[0], rtol=0, atol=5e-5
        )
    assert [fit.batch_size for fit in among.fits] == [len(among.fits[0].rows), 64]


def test_a_compiled_step_serves_members_with_other_rows_of_their_own() -> None:
    one = dataclasses.replace(problem("table"), compiled_steps={})
    recipe = plain(add_rows={"share": 0.5}, weigh_rows={}, mixup={})
    for seeds in ((1, 2, 3), (4, 5, 6)):
        members = [member(recipe, seed) for seed in seeds]
        compiled = Population(one, members, FusedStepper(backend="eager", width=3))
        serial = Population(one, members, SerialStepper())
        for population in (compiled, serial):
            population.advance(4)
            population.keep([2, 0])
            population.advance(3)
        torch.testing.assert_close(compiled.state.weights, serial.state.weights, rtol=0, atol=5e-5)
    assert len(one.compiled_steps) == 1


def test_model_techniques_see_the_rows_that_train(
    with_change: Callable[[str, Change], None],
) -> None:
    """Added numbers are ten times as large, and so are the last bins that are fitted to them."""

    def grown(split: Split, _: Any) -> Split:
        more = split.examples.take(split.rows)
        inputs = {n: 10 * x if x.is_floating_point() else x for n, x in more.inputs.items()}
        return split.add(Examples(inputs, more.targets))

    with_change("grown", grown)
    one = problem("table")
    ends = []
    for recipe in (plain(piecewise_linear={}), plain(piecewise_linear={}, grown={})):
        body = one.build(recipe.without("standardize"), 0, torch.arange(TRAIN))[1]
        buffers = dict(body.named_buffers())
        (low,) = (buffer for name, buffer in buffers.items() if name.endswith("low"))
        ends.append(low.max())
    assert ends[1] > 5 * ends[0]


class Counting(Problem):
    """Counts how often training rows are looked up by their contents."""

    counted: list[int]

    def fit(self, recipe: Recipe, rows: Tensor, seed: int) -> Any:
        self.counted.append(len(rows))
        return super().fit(recipe, rows, seed)


@pytest.mark.parametrize("stepper", STEPPERS, ids=IDS)
def test_rows_are_looked_up_once_for_each_member(stepper: Callable[[], Stepper]) -> None:
    one = Counting(
        **{f.name: getattr(problem("table"), f.name) for f in dataclasses.fields(Problem)}
    )
    object.__setattr__(one, "counted", [])
    population = Population(one, [member(plain(), seed) for seed in range(3)], stepper())
    population.advance(2)
    population.keep([2, 0])
    population.advance(2)
    population.keep([1])
    population.admit([member(plain(), 7)])
    population.advance(2)
    population.restore(population.snapshot())
    assert one.counted == [TRAIN] * 4


def _wrong_weights(values: list[float]) -> Change:
    return lambda split, _: dataclasses.replace(
        split, weights=torch.tensor(values).repeat(len(split.examples))[: len(split.examples)]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, _: dataclasses.replace(s, rows=s.rows[:0]), "left no rows to train on"),
        (lambda s, _: dataclasses.replace(s, rows=s.rows + 500), r"named rows \d+ to \d+ of 128"),
        (
            lambda s, _: dataclasses.replace(s, weights=torch.ones(3)),
            r"weights \(3,\) for 128 rows",
        ),
        (_wrong_weights([0.0]), "negative, not finite, or all 0"),
        (_wrong_weights([1.0, -1.0]), "negative, not finite, or all 0"),
        (_wrong_weights([1.0, float("nan")]), "negative, not finite, or all 0"),
        (
            lambda s, _: dataclasses.replace(
                s, examples=Examples({"numeric": s.examples.inputs["numeric"]}, s.examples.targets)
            ),
            "made nothing of categorical, which is torch.int64",
        ),
        (
            lambda s, _: dataclasses.replace(
                s, examples=Examples(s.examples.inputs, s.examples.targets.float())
            ),
            "made torch.float32 .* of the targets, which is torch.int64",
        ),
        (
            lambda s, _: dataclasses.replace(
                s, examples=Examples(s.examples.inputs, s.examples.targets.repeat(2))
            ),
            "gave 256 rows of the targets and 128 of others",
        ),
    ],
)
def test_what_cannot_train_is_refused_by_name(
    change: Change, message: str, with_change: Callable[[str, Change], None]
) -> None:
    with_change("wrong", change)
    one: Member = member(plain(wrong={}), 1)
    with pytest.raises(TrialError, match=f"technique 'wrong' .*{message}") as caught:
        Population(problem("table"), [one], SerialStepper())
    assert "\n" not in str(caught.value)
