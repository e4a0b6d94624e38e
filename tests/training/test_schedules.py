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


FALLING = [t for t in SCHEDULES if t.name != "coslog4"]


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
