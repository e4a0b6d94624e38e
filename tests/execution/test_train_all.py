"""Many jobs at once: packed by structure, judged, and whole whatever one of them does."""

from __future__ import annotations

import pytest
import torch
from problems import ALL_ROWS, ROWS, VALID, frame, member, plain, problem, problem_of
from torch import Tensor, nn

from pawl.data import ModelSpec
from pawl.errors import BudgetError, TaskError
from pawl.execution import Job, Plan, TrainingWay, pick_device, train_all
from pawl.execution.packing import _packs
from pawl.execution.ways import Mode
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.metrics import score

FUSED = Plan(TrainingWay("fused", 3), "for the test")


def jobs_of(recipes: list[Recipe]) -> list[Job]:
    members = [member(recipe, seed, epochs=4) for seed, recipe in enumerate(recipes)]
    return [Job(one, one.valid, keep=True) for one in members]


def test_results_come_in_the_order_of_the_jobs_and_are_packed_by_structure() -> None:
    one = problem("table")
    recipes = [
        plain(),
        plain(layer_norm={}),
        plain(momentum={"learning_rate": 0.1}),
        plain(layer_norm={}, early_stopping={"patience": 3}),
        plain(layer_norm={}),
        *[plain(momentum={"learning_rate": 0.01 * i}) for i in range(1, 4)],
    ]
    jobs = jobs_of(recipes)
    asked: list[str] = []

    def planner(recipe: Recipe) -> Plan:
        asked.append(recipe.structure)
        return FUSED

    beats: list[int] = []
    results = train_all(one, jobs, planner, heartbeat=lambda: beats.append(1))
    assert [r.outcome.member for r in results] == [job.member for job in jobs]
    assert asked == list(dict.fromkeys(recipe.structure for recipe in recipes))
    assert beats
    for job, result in zip(jobs, results, strict=True):
        assert result.outcome.status in ("completed", "stopped")
        assert result.outcome.weights is not None
        assert result.predictions is not None
        assert job.judge is not None
        expected = score(one.objective, result.predictions, one.targets[job.judge])
        assert result.score == pytest.approx(float(expected))
        (alone,) = train_all(one, [job], lambda _: Plan(TrainingWay("serial", 1), ""))
        assert alone.predictions is not None
        torch.testing.assert_close(result.predictions, alone.predictions, rtol=0, atol=1e-4)


def test_structures_are_split_between_workers_only_where_there_are_too_few() -> None:
    structures = [plain(), plain(layer_norm={}), plain(residual={})]
    jobs = jobs_of([recipe for recipe in structures for _ in range(5)])

    def sizes(mode: Mode, count: int) -> list[int]:
        plan = Plan(TrainingWay(mode, 8, workers=2), "for the test")
        return [len(pack.indices) for pack in _packs(jobs[: 5 * count], lambda _: plan)]

    assert sizes("fused", 1) == [3, 2]
    assert sizes("fused", 2) == [5, 5]
    assert sizes("fused", 3) == [5, 5, 3, 2]
    assert sizes("serial", 2) == [3, 2, 3, 2]


def test_fits_in_one_go_are_dealt_one_by_one_the_longest_first_and_behind_networks() -> None:
    short, long = (Recipe.of(**{name: {}}) for name in ("linear", "lightgbm"))
    recipes = [*[short] * 3, plain(), *[long] * 3]
    jobs, plan = jobs_of(recipes), Plan(TrainingWay("serial", 1, workers=2), "for the test")
    seconds = {short.structure: 0.1, long.structure: 2.0}
    packs = _packs(jobs, lambda _: plan, lambda recipe: seconds[recipe.structure])
    assert [pack.indices for pack in packs] == [(3,), (4,), (5,), (6,), (0,), (1,), (2,)]
    # As long as nothing is known they keep their order.
    packs = _packs(jobs, lambda _: plan)
    assert [pack.indices for pack in packs] == [(3,), (0,), (1,), (2,), (4,), (5,), (6,)]


def test_a_job_without_rows_to_judge_by_does_not_cost_the_others_theirs() -> None:
    jobs = jobs_of([plain()] * 3)
    jobs = [Job(jobs[0].member), Job(jobs[1].member, jobs[1].judge), Job(jobs[2].member, ALL_ROWS)]
    results = train_all(problem("table"), jobs, lambda _: FUSED)
    sizes = [None if r.predictions is None else len(r.predictions) for r in results]
    assert sizes == [None, VALID, len(ALL_ROWS)]
    assert [r.score is None for r in results] == [True, False, False]


class Fragile(nn.Module):
    """Raises in training when its weights happen to be so, once it is armed."""

    armed = False

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)
        self.register_buffer("luck", torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.armed and self.training and float(self.get_buffer("luck")) < 0.5:
            raise RuntimeError("out of luck\nas it were")
        return self.layer(x)


def test_a_model_that_raises_in_training_is_a_failed_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = problem_of(Task(data=frame(), model=Fragile))
    monkeypatch.setattr(Fragile, "armed", True)
    jobs = jobs_of([plain()] * 8)
    results = train_all(one, jobs, lambda _: Plan(TrainingWay("serial", 4), ""))
    unlucky = [float(one.builder(job.member.seed).get_buffer("module.luck")) < 0.5 for job in jobs]
    assert 0 < sum(unlucky) < len(jobs)
    for bad, job, result in zip(unlucky, jobs, results, strict=True):
        assert result.outcome.member is job.member
        if bad:
            assert result.outcome.status == "failed"
            assert result.outcome.reason == "RuntimeError: out of luck"
            assert result.score is None
            assert result.predictions is None
        else:
            assert result.outcome.status == "completed"
            assert result.score is not None


def test_a_population_too_large_for_memory_is_cut_in_half() -> None:
    widths: list[int] = []
    armed: list[bool] = []

    class Greedy(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            self.layer = nn.Linear(spec.num_features, spec.num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            if armed and self.training and len(widths) < 4:
                widths.append(len(x))
                raise torch.OutOfMemoryError("too much")
            return self.layer(x)

    one = problem_of(Task(data=frame(), model=Greedy))
    armed.append(True)
    results = train_all(one, jobs_of([plain()] * 4), lambda _: Plan(TrainingWay("serial", 4), ""))
    statuses = [r.outcome.status for r in results]
    assert statuses == ["failed", "completed", "completed", "completed"]
    assert results[0].outcome.reason == "out of memory"


@pytest.mark.parametrize("error", [StopIteration("enough"), BudgetError("spent"), KeyError("x")])
def test_what_a_heartbeat_raises_ends_the_work(error: Exception) -> None:
    def beat() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        train_all(problem("table"), jobs_of([plain()] * 2), lambda _: FUSED, heartbeat=beat)
    assert caught.value is error


def test_a_metric_that_raises_ends_the_work_with_its_name() -> None:
    armed: list[bool] = []

    def fussy(targets: object, predictions: object) -> float:
        if armed:
            raise ValueError("never good enough")
        return 0.0

    one = problem_of(Task(data=frame(), metric=fussy, direction="maximize"))
    armed.append(True)
    with pytest.raises(TaskError, match="the metric fussy raised ValueError: never good enough"):
        train_all(one, jobs_of([plain()]), lambda _: FUSED)


def test_judging_on_other_examples() -> None:
    one = problem("table")
    others = one.examples.take(torch.arange(10))
    (result,) = train_all(
        one, [Job(member(plain(), epochs=4), torch.arange(10))], lambda _: FUSED, examples=others
    )
    assert result.predictions is not None
    assert result.predictions.shape == (10, 2)
    assert len(one.examples) < ROWS


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(Exception, match="unknown device 'tpu'; use auto, cpu or cuda"):
        pick_device("tpu")
