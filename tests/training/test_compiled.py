"""The compiled step computes what the fused one does, also after the population shrinks."""

from __future__ import annotations

import shutil

import pytest
import torch

from pawl.data.types import Examples, InputSpec, Schema
from pawl.models import make_builder
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.metrics import make_objective
from pawl.training.population import Member, Population
from pawl.training.problem import Problem


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.filterwarnings("default"),
                pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler"),
            ],
        ),
    ],
)
def test_compiled_equals_fused(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator)
    y = (x.sum(1) > 0).long()
    spec = InputSpec(name="x", shape=(6,), dtype="float32")
    schema = Schema(source="arrays", kind="binary", target="y", classes=("0", "1"), inputs=(spec,))
    problem = Problem(
        schema=schema,
        examples=Examples({"x": x}, y),
        objective=make_objective(None, None, "binary"),
        builder=make_builder(schema, None),
    )
    recipe = Recipe.of(
        adamw={},
        standardize={},
        batch_size={"size": 32},
        batch_norm={},
        dropout={},
        mixup={},
        label_smoothing={},
        one_cycle={},
    )
    rows = torch.arange(300)
    results = []
    for each in (None, backend):
        members = [Member(recipe, seed, rows[:200], rows[200:], 5) for seed in range(4)]
        population = Population(problem, members, FusedStepper(backend=each, width=4))
        population.advance(6)
        population.keep([0, 2])
        population.advance(6)
        results.append(population.predict(problem.examples, rows[200:]))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-3)
