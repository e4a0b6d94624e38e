"""How long a trial is, by what a pass takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.pacing.sizes import trial_epochs

SECONDS = st.floats(1e-4, 100.0)


@given(st.floats(5.0, 1e5), SECONDS, SECONDS)
def test_a_slower_machine_never_trains_for_longer(left: float, one: float, other: float) -> None:
    fast, slow = trial_epochs(left, min(one, other)), trial_epochs(left, max(one, other))
    assert slow[0] <= fast[0]
    assert slow[1] <= fast[1]
    assert fast[0] * min(one, other) <= left / 26


@pytest.mark.parametrize(
    ("per_epoch", "epochs", "trainings"),
    [
        (0.005, 80, 250),
        (0.0133, 30, 250),
        (0.0134, 30, 90),
        (0.03, 30, 90),
        (0.1, 11, 90),
        (0.5, 7, 26),
        (9.0, 0, 26),
    ],
)
def test_of_a_hundred_seconds(per_epoch: float, epochs: int, trainings: int) -> None:
    assert trial_epochs(100.0, per_epoch) == (epochs, trainings)
