"""The compiled step computes what the fused one does, also after the population shrinks."""

from __future__ import annotations

import shutil

import pytest
import torch
from problems import ALL_ROWS, member, problem
from torch.nn import functional as F

from pawl.errors import TrialError
from pawl.recipe import Recipe
from pawl.training.compiled import CompiledStep
from pawl.training.fused import FusedStepper
from pawl.training.population import Population


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
    # A table with embedded categories and gaps: what takes a way of its own in the graph.
    table = problem("table")
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
    results = []
    for each in (None, backend):
        members = [member(recipe, seed, epochs=5) for seed in range(4)]
        population = Population(table, members, FusedStepper(backend=each, width=4))
        population.advance(6)
        population.keep([0, 2])
        population.advance(6)
        results.append(population.predict(table.examples, ALL_ROWS))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-3)


def _attends(dropout: float) -> None:
    """Compiles a step that attends by PyTorch's function, and checks what it gives."""

    def step(fixed: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> None:
        given = own["given"]
        fixed["seen"].copy_(F.scaled_dot_product_attention(given, given, given, None, dropout))

    given = torch.randn(1, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    seen = torch.zeros(given.shape[1:])
    CompiledStep(step, "eager").bind({"seen": seen}, {"given": given})(0)
    torch.testing.assert_close(seen, F.scaled_dot_product_attention(*[given[0]] * 3))


def test_attention_that_draws_nothing_is_compiled() -> None:
    _attends(0.0)


def test_attention_that_drops_weights_by_itself_is_refused() -> None:
    with pytest.raises(TrialError, match="draws random numbers of its own"):
        _attends(0.5)
