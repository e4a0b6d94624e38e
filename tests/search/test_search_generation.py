"""Rungs, and generations on a tiny problem: every configuration ends, and halving saves steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from problems import frame, member, plain, problem, problem_of
from torch import Tensor, nn

from pawl.data import ModelSpec
from pawl.execution import Plan, TrainingWay
from pawl.recipe import Recipe
from pawl.search.board import Board, Rungs
from pawl.search.failures import run_or_record
from pawl.search.generation import rung_passed
from pawl.search.protocols import Params
from pawl.search.schedulers import Halving
from pawl.search.seat import Searched, Seat
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

EPOCHS = 36
TOTAL = EPOCHS * 3  # 96 training rows in batches of 32
RATES = (0.03, 0.02, 1e-4, 2e-4, 0.04, 1e-4, 0.05, 0.01, 3e-4)


def maker(recipes: list[Recipe]) -> Callable[[int, Params], tuple[Member, ...]]:
    """Makes numbered members on one split."""
    split = member(recipes[0], 0, epochs=EPOCHS)
    return lambda number, _: (Member(recipes[number], number, split.train, split.valid, EPOCHS),)


def recipes(*, stop: bool = False) -> list[Recipe]:
    extra = {"early_stopping": {"patience": 20}} if stop else {}
    return [plain(momentum={"learning_rate": rate}, **extra) for rate in RATES]


def generation(
    recipes: list[Recipe],
    width: int,
    mode: str = "fused",
    beats: int = 10_000,
    one: Problem | None = None,
) -> list[Searched]:
    left = iter(range(beats))

    def heartbeat() -> None:
        if next(left, None) is None:
            raise StopIteration

    chosen = Plan(TrainingWay(mode, width), "for the test")  # type: ignore[arg-type]
    make = maker(recipes)
    with Board(({"index": i} for i in range(len(recipes))), lockstep=True) as board:
        seat = Seat(lambda report: board.ask(0, report)[0], make)
        return run_or_record(one or problem("table"), chosen, seat, width, heartbeat=heartbeat)


def test_rungs_are_passed_once_and_the_last_one_counts() -> None:
    shares = (1 / 9, 1 / 3)
    assert rung_passed(0.0, 0.1, shares) is None
    assert rung_passed(0.0, 1 / 9, shares) == 0
    assert rung_passed(1 / 9, 0.3, shares) is None
    assert rung_passed(0.1, 0.2, shares) == 0
    assert rung_passed(0.3, 1 / 3, shares) == 1
    assert rung_passed(0.0, 1.0, shares) == 1
    assert rung_passed(0.5, 1.0, shares) is None
    assert rung_passed(0.0, 1.0, ()) is None


def test_the_best_third_of_those_seen_at_a_rung_goes_on() -> None:
    rungs = Rungs(Halving())
    for score in range(9):
        rungs.add(0, score, float(score))
    assert [rungs.goes_on(0, float(score)) for score in range(9)] == [False] * 6 + [True] * 3
    rungs.add(1, 3, 0.5)
    assert rungs.goes_on(1, 0.5)  # the first at a rung has nobody to lose to
    rungs.add(1, 3, 0.5)  # one that is trained again is not two
    rungs.add(1, 4, 0.4)
    assert not rungs.goes_on(1, 0.4)
    rungs.add(1, 5, 0.5)
    assert rungs.goes_on(1, 0.5)  # equals go on


@pytest.mark.parametrize("mode", ["fused", "serial"])
@pytest.mark.parametrize("width", [1, 3, 20])
@pytest.mark.parametrize("stop", [False, True])
def test_places_are_refilled_until_every_configuration_has_ended(
    mode: str, width: int, stop: bool
) -> None:
    done = generation(recipes(stop=stop), width, mode)
    assert sorted(item.params["index"] for item in done) == list(range(len(RATES)))
    assert {item.outcome.status for item in done} <= {"completed", "stopped", "pruned"}
    ended = [item for item in done if item.outcome.status in ("completed", "stopped")]
    assert ended
    for item in done:
        rate = item.outcome.member.recipe.settings("momentum").model_dump()["learning_rate"]
        assert rate == RATES[item.params["index"]]  # parameters and outcomes belong together
        assert item.outcome.score is not None
        assert item.outcome.steps <= TOTAL
        if item.outcome.status == "pruned":
            assert item.outcome.steps < TOTAL / 2
            assert item.rungs
        if item.outcome.status == "completed":
            assert item.outcome.steps == TOTAL
            assert set(item.rungs) == {0, 1}
        assert all(math.isfinite(score) for score in item.rungs.values())
    assert len({item.outcome.member.recipe.structure for item in done}) == 1


def test_halving_prunes_the_weak_and_saves_most_of_their_steps() -> None:
    done = generation(recipes(), 9)
    weak = {i for i, rate in enumerate(RATES) if rate < 1e-3}
    pruned = {item.params["index"] for item in done if item.outcome.status == "pruned"}
    assert weak <= pruned
    assert sum(item.outcome.steps for item in done) < 0.5 * TOTAL * len(RATES)
    assert {"completed", "pruned"} == {item.outcome.status for item in done}


def test_what_a_member_becomes_does_not_depend_on_the_width() -> None:
    """Halving decides who is pruned, not how those who go on are trained."""

    def curves(width: int) -> dict[int, tuple[float, ...]]:
        done = generation(recipes(), width)
        return {
            item.params["index"]: tuple(point.valid_score for point in item.outcome.curve)
            for item in done
        }

    narrow, wide = curves(2), curves(9)
    for index in range(len(RATES)):
        common = min(len(narrow[index]), len(wide[index]))
        assert common > 0
        assert narrow[index][:common] == pytest.approx(wide[index][:common], abs=1e-3)


def test_the_same_generation_twice_is_the_same() -> None:
    def told(done: list[Searched]) -> list[tuple[object, ...]]:
        return [
            (item.params["index"], item.outcome.status, item.outcome.score, item.outcome.steps)
            for item in done
        ]

    first = told(generation(recipes(), 4))
    assert told(generation(recipes(), 4)) == first


@pytest.mark.parametrize("beats", [0, 1, 2, 8])
def test_a_heartbeat_that_stops_ends_the_rest_as_pruned(beats: int) -> None:
    done = generation(recipes(), 3, beats=beats)
    assert {item.outcome.status for item in done} <= {"completed", "pruned"}
    # Who was not evaluated even once has shown nothing, and is not told of.
    for item in done:
        assert item.outcome.curve
        assert item.outcome.score is not None
    told = [item.params["index"] for item in done]
    # The first beat comes before the first segment's.
    assert len(told) == len(set(told)) >= min(3, 3 * (beats - 1))
    assert bool(told) == (beats > 1)


class Unlucky(nn.Module):
    """Its outputs are not finite when its weights happen to be so."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)
        self.register_buffer("factor", torch.where(torch.rand(()) < 0.5, torch.inf, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.get_buffer("factor")


def test_members_that_diverge_end_as_such_and_the_others_go_on() -> None:
    one = problem_of(Task(data=frame(), model=Unlucky))
    done = generation([plain()] * 8, 3, one=one)
    assert sorted(item.params["index"] for item in done) == list(range(8))
    diverged = [item for item in done if item.outcome.status == "diverged"]
    assert 0 < len(diverged) < 8
    assert "completed" in {item.outcome.status for item in done}
    for item in done:
        _, body, _ = one.build(plain(), item.outcome.member.seed, item.outcome.member.train)
        finite = all(bool(buffer.isfinite()) for buffer in body.buffers())
        assert finite == (item.outcome.status != "diverged")
        assert finite == (item.outcome.score is not None)
        assert finite == (item.outcome.reason == "")


def test_a_single_configuration_is_trained_to_its_end() -> None:
    assert generation(recipes()[:1], 1)[0].outcome.status == "completed"
