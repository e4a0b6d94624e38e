"""How often a search brings a technique in, by what it was measured to be worth."""

from __future__ import annotations

import pytest
from techniques.placebo import PLACEBO

from pawl.techniques import register, technique, unregister
from pawl.techniques.measured import PROMISING, UNKNOWN, Effect, effects, weight


def found(modality: str, low: float, high: float) -> Effect:
    return Effect(modality, modality, "rmse", 1.0, (low + high) / 2, low, high, 10, 1.0)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Effect, ...]]:
    each: dict[str, tuple[Effect, ...]] = {}
    monkeypatch.setattr("pawl.techniques.measured.effects", lambda: each)
    return each


def test_the_weight_follows_what_was_shown(known: dict[str, tuple[Effect, ...]]) -> None:
    good, bad, nothing = (found("table", *ends) for ends in ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)))
    for effects_, expected in (
        ((), UNKNOWN),
        ((good,), PROMISING),
        ((good, nothing), PROMISING),
        ((good, bad), UNKNOWN),
        ((nothing, bad), UNKNOWN),
        ((bad, bad), UNKNOWN),
    ):
        known["dropout"] = effects_
        assert weight("dropout", "table") == expected, effects_


def test_measurements_of_the_same_modality_come_first(known: dict[str, tuple[Effect, ...]]) -> None:
    known["dropout"] = (found("table", -0.3, -0.1), found("image", 0.1, 0.3))
    assert weight("dropout", "table") == UNKNOWN
    assert weight("dropout", "image") == PROMISING
    assert weight("dropout", "waves") == UNKNOWN  # helps one, harms the other


def test_what_a_user_registers_is_worth_a_try(known: dict[str, tuple[Effect, ...]]) -> None:
    register(PLACEBO)
    try:
        assert weight(PLACEBO.name, "table") == PROMISING
    finally:
        unregister(PLACEBO.name)


def test_what_is_shipped_is_of_techniques_that_there_are() -> None:
    for name, each in effects().items():
        assert technique(name).name == name
        assert each
        for one in each:
            assert one.low <= one.effect <= one.high
            assert one.pairs >= 10
