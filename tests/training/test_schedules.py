"""Schedules: where they start, where they end, and that a warm-up rises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import annotated_types
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pawl.techniques import ScheduleTechnique, technique, techniques

SCHEDULES = [t for t in techniques() if isinstance(t, ScheduleTechnique)]


def course(schedule: ScheduleTechnique, total: int, values: dict[str, float]) -> Tensor:
    """Returns the multiplier at each of `total` steps, and behind the last one."""
    steps = torch.arange(total + 1.0)
    namespace = SimpleNamespace(**{k: torch.full_like(steps, v) for k, v in values.items()})
    rates: Tensor = schedule.apply(steps, torch.full_like(steps, total), namespace)
    return rates


@st.composite
def cases(draw: st.DrawFn, schedule: ScheduleTechnique) -> tuple[int, dict[str, float]]:
    values = {}
    for name, field in schedule.settings.model_fields.items():
        bounds: dict[type, Any] = {type(item): item for item in field.metadata}
        values[name] = draw(st.floats(bounds[annotated_types.Ge].ge, bounds[annotated_types.Le].le))
    return draw(st.integers(1, 400)), values


FALLING = [t for t in SCHEDULES if t.name not in ("coslog4", "cosine_restarts")]


@pytest.mark.parametrize("schedule", FALLING, ids=lambda t: t.name)
def test_a_schedule_warms_up_then_never_rises(schedule: ScheduleTechnique) -> None:
    @settings(max_examples=60, deadline=None)
    @given(cases(schedule))
    def check(case: tuple[int, dict[str, float]]) -> None:
        total, values = case
        rates = course(schedule, total, values)
        assert rates.isfinite().all()
        assert ((rates >= -1e-6) & (rates <= 1 + 1e-6)).all()
        warm = int(values["warmup"] * total)
        rising = rates[: max(1, warm)]
        assert (rising.diff() >= -1e-6).all()
        falling = rates[warm + 1 :]
        assert (falling.diff() <= 1e-6).all()

    check()


@pytest.mark.parametrize(
    ("name", "values", "first", "last"),
    [
        ("constant", {"warmup": 0.0}, 1.0, 1.0),
        ("constant", {"warmup": 0.25}, 1 / 25, 1.0),
        ("cosine", {"warmup": 0.0}, 1.0, 0.0),
        ("cosine", {"warmup": 0.1}, 0.1, 0.0),
        ("exponential_decay", {"warmup": 0.0, "final": 0.01}, 1.0, 0.01),
        ("step_decay", {"warmup": 0.0, "factor": 0.5, "drops": 3.0}, 1.0, 0.125),
        ("coslog4", {"warmup": 0.0}, 0.0, 0.0),
        ("flat_cosine", {"warmup": 0.0, "flat": 0.5}, 1.0, 0.0),
        ("cosine_restarts", {"warmup": 0.0, "cycles": 3.0, "growth": 2.0}, 1.0, 0.0),
        ("linear_decay", {"warmup": 0.0}, 1.0, 0.0),
        ("polynomial_decay", {"warmup": 0.0, "power": 2.0}, 1.0, 0.0),
        ("warmup_stable_decay", {"warmup": 0.1, "decay": 0.2}, 0.1, 0.0),
        ("one_cycle", {"warmup": 0.3, "start": 0.04}, 0.04, 0.0),
    ],
)
def test_first_and_last(name: str, values: dict[str, float], first: float, last: float) -> None:
    rates = course(technique(name), 100, values)
    assert float(rates[0]) == pytest.approx(first, abs=1e-6)
    assert float(rates[-1]) == pytest.approx(last, abs=1e-6)
    assert float(rates.max()) == pytest.approx(1.0, abs=1e-3)


def test_steps_drop_evenly() -> None:
    rates = course(technique("step_decay"), 90, {"warmup": 0.0, "factor": 0.1, "drops": 2.0})
    torch.testing.assert_close(rates[:90], torch.tensor([1.0, 0.1, 0.01]).repeat_interleave(30))


def test_four_cycles_end_where_they_should() -> None:
    rates = course(technique("coslog4"), 1500, {"warmup": 0.0})
    for low in (0, 100, 300, 700, 1500):
        assert float(rates[low]) == pytest.approx(0.0, abs=1e-4)
    inner = rates[1:-1]
    peaks = ((inner > rates[:-2]) & (inner > rates[2:]) & (inner > 0.99)).sum()
    assert int(peaks) == 4


def test_a_rate_that_stays_then_falls() -> None:
    rates = course(technique("flat_cosine"), 100, {"warmup": 0.0, "flat": 0.4})
    assert (rates[:41] == 1.0).all()
    assert float(rates[70]) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("cycles", "growth", "starts"),
    [(3.0, 2.0, (0, 100, 300)), (4.0, 1.0, (0, 175, 350, 525)), (2.3, 3.0, (0, 175))],
)
def test_a_cosine_that_starts_again_has_whole_cycles(
    cycles: float, growth: float, starts: tuple[int, ...]
) -> None:
    values = {"warmup": 0.0, "cycles": cycles, "growth": growth}
    rates = course(technique("cosine_restarts"), 700, values)
    tolerance = 0.01 if growth == 1.0 else 1e-4  # cycles that are as long as each other, nearly
    for start, end in zip(starts, (*starts[1:], 700), strict=True):
        cycle = rates[start + 1 : end]
        expected = 0.5 * (1 + torch.cos(torch.pi * torch.arange(1.0, end - start) / (end - start)))
        torch.testing.assert_close(cycle, expected, rtol=0, atol=tolerance)
        # Rounding decides whether the step between two belongs to the one or the other.
        assert float(rates[start : start + 2].max()) == pytest.approx(1.0, abs=1e-2)


def test_powers_and_lines_fall_as_they_say() -> None:
    share = 1 - torch.arange(101.0) / 100
    line = course(technique("linear_decay"), 100, {"warmup": 0.0})
    torch.testing.assert_close(line, share)
    square = course(technique("polynomial_decay"), 100, {"warmup": 0.0, "power": 2.0})
    torch.testing.assert_close(square, share**2)


def test_a_rate_that_rises_stays_and_falls() -> None:
    rates = course(technique("warmup_stable_decay"), 110, {"warmup": 10 / 110, "decay": 0.25})
    torch.testing.assert_close(rates[:10], torch.arange(1.0, 11.0) / 10)
    assert (rates[10:85] == 1.0).all()
    expected = 1 - (torch.arange(26.0) / 25).sqrt()
    torch.testing.assert_close(rates[85:], expected, rtol=0, atol=2e-3)
