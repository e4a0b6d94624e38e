"""Each rule on made-up records of known answer: one that it must tell of, and healthy ones."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from pawl.diagnosing import rules
from pawl.diagnosing.facts import ClearRows, ColumnFacts, DataFacts
from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import (
    Gain,
    Reading,
    Rival,
    Scale,
    Statistics,
    Times,
    Training,
    Trial,
    UnitReading,
    WeightReading,
)
from pawl.diagnosing.rules.gains import tried
from pawl.techniques import technique

STEPS = (0, 16, 50, 100, 200, 300, 400)


def weight(name: str, gradient: float = 0.05, **more: Any) -> WeightReading:
    known = {"axes": 2, "norm": 6.0, "moved": 1e-3, "distance": 0.5}
    return WeightReading(name=name, gradient=gradient, **{**known, **more})


def unit(**more: Any) -> UnitReading:
    known: dict[str, Any] = {
        "name": "act",
        "function": "ReLU",
        "units": 64,
        "mean": 0.4,
        "std": 0.6,
    }
    shares = {"dead": 0.05, "saturated": 0.0, "alike": 0.0}
    return UnitReading(**{**known, **shares, **more})


def reading(step: int, loss: float, **more: Any) -> Reading:
    known: dict[str, Any] = {
        "rate": 1e-3, "train_loss": loss, "valid_loss": loss + 0.05, "train_score": 0.9,
        "valid_score": 0.9, "batch_loss": loss, "noise": 30.0, "signal": 1.0, "non_finite": 0,
        "weights": tuple(weight(f"layer{i}.weight") for i in range(4)), "units": (unit(),),
    }  # fmt: skip
    return Reading(step=step, **{**known, **more})


EVEN = Times(steps=50, data=0.002, forward=0.004, backward=0.006, update=0.001)


def healthy(**more: Any) -> Training:
    """Falls from 1 to 0.2, half of it in the first 50 steps."""
    falls = [0.2 + 0.8 * math.exp(-step / 60) for step in STEPS]
    known: dict[str, Any] = {
        "techniques": ("standardize", "batch_size", "adamw"), "optimizer": "adamw", "rows": 1000,
        "batch": 32, "total": 400, "status": "completed", "parameters": 5000, "kept": 400,
        "constant_loss": 1.0, "zero_loss": 1.0,
        "losses": tuple((16 * i, 0.25 + 0.8 * math.exp(-16 * i / 60)) for i in range(1, 26)),
        "readings": tuple(map(reading, STEPS, falls)),
        "rivals": tuple(
            Rival(rate=rate, step=133, train_loss=loss) for rate, loss in ((0.1, 0.7), (10.0, 0.3))
        ),
        "scales": (Scale(name="numeric", size=1.0, apart=3.0),), "times": EVEN,
    }  # fmt: skip
    return Training(**{**known, **more})


def each(**more: Any) -> tuple[Reading, ...]:
    return tuple(dataclasses.replace(r, **more) for r in healthy().readings)


def flat(loss: float) -> tuple[Reading, ...]:
    return tuple(reading(step, loss) for step in STEPS)


def trial(change: Any, mean: float, value: float = 32, **more: Any) -> Trial:
    """Of 100 rows, with a standard error of 0.02."""
    gain = Gain(mean=mean, error=0.02, rows=100)
    known = {"step": 100, "train_loss": 0.2, "valid_loss": 0.3, "train_gain": gain}
    return Trial(change=change, value=value, gain=gain, **{**known, **more})


def times(factor: float, gain: Gain) -> Gain:
    return dataclasses.replace(gain, mean=factor * gain.mean, error=factor * gain.error)


def statistics(values: int = 64, behind: float = 0.9, mean: float = 0.1) -> Statistics:
    return Statistics(values=values, behind=behind, gain=Gain(mean=mean, error=0.02, rows=100))


def column(name: str = "size", **more: Any) -> ColumnFacts:
    return ColumnFacts(
        **{"name": name, "category": False, "distinct": 100, "predicts": 0.3, **more}
    )


def data(**more: Any) -> DataFacts:
    known: dict[str, Any] = {
        "kind": "binary", "rows": 1000, "test_rows": 200, "looked": 1000, "classes": (600, 400),
        "columns": (column(), column("age", predicts=0.5)), "trees": 0.6,
        "clear": ClearRows(rows=1000, clearest=0.01, next=0.03, skill=0.6, graded=0.01, suspects=20),
    }  # fmt: skip
    return DataFacts(**{**known, **more})


LAYERS = tuple(weight(f"layer{i}.weight", 0.05 * 10.0 ** (i - 3)) for i in range(3))
FADING = (weight("first", 1e-6), *LAYERS[1:], weight("last"))
STUCK = (weight("cut", 0.0, distance=0.004), *LAYERS)
JUMPS = tuple((16 * i, 5.0 if i in (12, 20) else 0.3) for i in range(1, 26))
SLOW = tuple(reading(step, 1.0 - 0.002 * step) for step in STEPS)

FAULTY: dict[str, Training | DataFacts] = {
    "constant_columns": data(columns=(column(distinct=1),)),
    "duplicate_columns": data(columns=(column(), column("again", copy_of="size"))),
    "identifier_columns": data(columns=(column(counts_up=True),)),
    "target_leakage": data(columns=(column("leak", predicts=0.99), column())),
    "outliers": data(columns=(column(extreme=20.0, outer=2, by_chance=1e-4),)),
    "train_test_drift": data(columns=(column(drift=0.4, drift_p=1e-9),)),
    "class_imbalance": data(classes=(980, 20)),
    "duplicate_rows": data(copies=0.1),
    "conflicting_labels": data(conflicts=0.1),
    "rows_in_train_and_test": data(seen=50),
    "rows_in_order": data(neighbors=0.7),
    "label_errors": data(
        clear=ClearRows(
            rows=1000, clearest=0.25, next=0.3, skill=0.5, graded=0.03, suspects=200
        )
    ),
    "non_finite": healthy(status="diverged", readings=each(non_finite=4)),
    "vanishing_gradients": healthy(readings=each(weights=FADING)),
    "exploding_gradients": healthy(readings=each(weights=(weight("big", 50.0), *LAYERS))),
    "poor_initialization": healthy(readings=(reading(0, 40.0), *healthy().readings[1:])),
    "layer_never_learns": healthy(readings=each(weights=STUCK)),
    "dead_units": healthy(readings=each(units=(unit(dead=0.8),))),
    "saturated_units": healthy(readings=each(units=(unit(function="Tanh", saturated=0.7),))),
    "unscaled_inputs": healthy(scales=(Scale(name="numeric", size=400.0, apart=900.0),)),
    "normalization_disagrees": healthy(readings=each(batch_loss=0.05, train_loss=0.6)),
    "learning_rate_too_high": healthy(
        readings=flat(0.8), rivals=(Rival(rate=0.1, step=133, train_loss=0.4),)
    ),
    "learning_rate_too_low": healthy(
        readings=flat(0.9), rivals=(Rival(rate=10.0, step=133, train_loss=0.5),)
    ),
    "plateau": healthy(readings=flat(1.0), rivals=()),
    "not_converged": healthy(readings=SLOW, rivals=()),
    "loss_spikes": healthy(losses=JUMPS),
    "batch_too_small": healthy(batch=2, averaged_loss=0.05),
    "batch_too_large": healthy(batch=500, readings=SLOW, rivals=()),
    "data_starves": healthy(
        times=Times(steps=50, data=0.008, forward=0.002, backward=0.003, update=0.001)
    ),
    "overfitting": healthy(readings=each(valid_loss=1.1)),
    "trained_too_long": healthy(readings=(*healthy().readings[:-1], reading(400, 0.2, valid_loss=0.9))),
    "underfitting": healthy(readings=flat(0.8), rivals=()),
    "model_too_small": healthy(
        readings=each(units=(unit(units=1),)), trials=(trial("width", 0.2, 8.0),)
    ),
    "weak_signal": healthy(readings=flat(0.95), rivals=()),
    "model_too_large": healthy(parameters=900_000, readings=each(valid_loss=1.1)),
}  # fmt: skip


HEALTHY, NOISE = data(), data(trees=0.05)


def found(faulty: Training | DataFacts, facts: DataFacts = HEALTHY) -> list[Finding]:
    if isinstance(faulty, Training):
        return rules.of_training(faulty, facts)
    return rules.of_data(faulty)


def test_there_is_a_made_up_fault_for_each_rule() -> None:
    assert sorted(FAULTY) == sorted(rules.names())


@pytest.mark.parametrize("name", FAULTY)
def test_a_rule_tells_of_its_fault(name: str) -> None:
    facts = NOISE if name == "weak_signal" else HEALTHY
    told = {each.rule: each for each in found(FAULTY[name], facts)}
    assert name in told
    finding = told[name]
    assert finding.strength >= 1
    assert finding.evidence
    assert finding.suggests or finding.advice
    assert Finding.from_dict(finding.to_dict()) == finding
    for suggested in finding.suggests:
        technique(suggested)  # raises if there is none


def test_nothing_is_told_of_what_is_healthy() -> None:
    assert found(healthy()) == []
    assert found(data()) == []
    stopped = healthy(techniques=("standardize", "adamw", "early_stopping"), status="stopped")
    assert found(stopped) == []


@pytest.mark.parametrize(
    "name", [name for name, made in FAULTY.items() if isinstance(made, Training)]
)
@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_scale_of_the_loss_changes_nothing(name: str, factor: float) -> None:
    made = FAULTY[name]
    assert isinstance(made, Training)
    scaled = dataclasses.replace(
        made,
        constant_loss=factor * made.constant_loss,
        zero_loss=factor * made.zero_loss,
        averaged_loss=factor * made.averaged_loss,
        losses=tuple((step, factor * loss) for step, loss in made.losses),
        rivals=tuple(dataclasses.replace(r, train_loss=factor * r.train_loss) for r in made.rivals),
        trials=tuple(
            dataclasses.replace(t, gain=times(factor, t.gain), train_gain=times(factor, t.train_gain))
            for t in made.trials
        ),
        readings=tuple(
            dataclasses.replace(
                r, train_loss=factor * r.train_loss, valid_loss=factor * r.valid_loss,
                batch_loss=factor * r.batch_loss, noise=factor**2 * r.noise,
                signal=factor**2 * r.signal,
                weights=tuple(
                    dataclasses.replace(w, gradient=factor * w.gradient) for w in r.weights
                ),
            )
            for r in made.readings
        ),
    )  # fmt: skip
    assert [e.rule for e in found(scaled)] == [e.rule for e in found(made)]


def test_what_another_finding_explains_is_left_out_and_the_gravest_comes_first() -> None:
    def make(rule: str, severity: Any) -> Finding:
        return Finding(rule=rule, severity=severity, evidence="it is so", strength=1.0)

    told = [make("plateau", "critical"), make("outliers", "info"), make("dead_units", "warning")]
    assert [each.rule for each in rules.settled(told)] == ["dead_units", "outliers"]
    assert [each.rule for each in rules.settled(told[:2])] == ["plateau", "outliers"]
    known = set(rules.names())
    assert set(rules.BECAUSE_OF) <= known
    assert {name for names in rules.BECAUSE_OF.values() for name in names} <= known


def test_a_rate_is_too_high_where_a_far_lower_one_learns_or_one_that_holds_for_other_rows() -> None:
    def told(*rivals: Rival) -> set[str]:
        made = healthy(readings=flat(0.6), rivals=rivals)
        return {each.rule for each in found(made)}

    tenth = Rival(rate=0.1, step=133, train_loss=0.62, valid_loss=0.7)
    assert "learning_rate_too_high" not in told(tenth)
    assert "learning_rate_too_high" in told(
        tenth, dataclasses.replace(tenth, rate=1e-4, train_loss=0.3)
    )
    assert "learning_rate_too_high" in told(dataclasses.replace(tenth, valid_loss=0.4))


@pytest.mark.parametrize("name", ["learning_rate_too_high", "learning_rate_too_low"])
def test_a_wrong_rate_comes_with_the_one_that_learned(name: str) -> None:
    made = FAULTY[name]
    assert isinstance(made, Training)
    (rival,) = made.rivals
    (told,) = [each for each in found(dataclasses.replace(made, rate=0.03)) if each.rule == name]
    assert told.tries == {"learning_rate": pytest.approx(0.03 * rival.rate)}
    (unknown,) = [each for each in found(made) if each.rule == name]
    assert unknown.tries == {}


def test_a_loss_that_falls_from_above_a_constant_is_not_at_its_end_even_if_it_stays_there() -> None:
    readings = tuple(reading(step, 3.0 - 0.004 * step) for step in STEPS)
    told = {
        each.rule
        for each in rules.settled(found(healthy(readings=readings, zero_loss=3.0, rivals=())))
    }
    assert "not_converged" in told
    assert "plateau" not in told


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        (
            (1.0, 0.9, 0.8, 0.7, 0.6),
            "25% of the fall of the loss comes in the last quarter of the 400 steps",
        ),
        (
            (1.0, 1.2, 1.5, 1.6, 0.8),
            "all of the fall of the loss comes in the last quarter of the 400 steps, after it had risen",
        ),
    ],
)
def test_a_loss_that_rose_before_it_fell_is_told_in_words(
    losses: tuple[float, ...], told: str
) -> None:
    readings = tuple(reading(100 * i, loss) for i, loss in enumerate(losses))
    made = found(healthy(readings=readings, rivals=()))
    assert [each.evidence for each in made if each.rule == "not_converged"] == [told]


def test_small_parts_are_not_told_as_nothing() -> None:
    weights = tuple(
        dataclasses.replace(each, distance=0.0 if i == 0 else 4e-5) for i, each in enumerate(LAYERS)
    )
    (told,) = [
        e for e in found(healthy(readings=each(weights=weights))) if e.rule == "layer_never_learns"
    ]
    assert told.evidence.endswith("(others moved by 0.004% of their norm)")
    new = (dataclasses.replace(weights[0], distance=math.nan), *weights[1:])
    assert "layer_never_learns" not in told_of(healthy(readings=each(weights=new)))


def told_of(made: Training) -> set[str]:
    return {each.rule for each in found(made)}


@pytest.mark.parametrize(
    ("rule", "change", "made", "least"),
    [
        ("batch_too_small", "batch", healthy(batch=4), 0.021),  # a standard error of 0.02
        ("batch_too_large", "batch", healthy(batch=500), 0.021),
        ("model_too_small", "width", healthy(readings=each(units=(unit(units=2),))), 0.021),
    ],
)
def test_a_suspicion_is_told_where_its_trial_gains_more_than_chance(
    rule: str, change: Any, made: Training, least: float
) -> None:
    def told(mean: float, train: float = 0.2, error: float = 0.02) -> bool:
        tried = trial(
            change, mean, train_gain=Gain(mean=train, error=0.02, rows=400),
        )  # fmt: skip
        tried = dataclasses.replace(tried, gain=dataclasses.replace(tried.gain, error=error))
        return rule in told_of(dataclasses.replace(made, trials=(tried,)))

    assert rule not in told_of(made)
    assert told(least)
    assert not told(least - 0.004)
    assert not told(-0.2)
    assert not told(0.5, error=math.nan)
    assert not told(least, train=-0.1)
    # 1.645 standard errors are enough for small batches, whatever training rows do.
    assert told(0.034, train=-0.1) == (rule == "batch_too_small")
    assert not told(0.03, train=-0.1)


def test_values_that_a_long_tail_explains_are_no_outliers_nor_one_of_many_columns() -> None:
    far = column(extreme=20.0, outer=2, by_chance=0.01)
    assert [each.rule for each in found(data(columns=(far,)))] == ["outliers"]
    assert found(data(columns=(dataclasses.replace(far, by_chance=0.2),))) == []
    assert found(data(columns=(far, *(column(f"c{i}") for i in range(30))))) == []


def test_the_trial_that_most_surely_gained_counts() -> None:
    few, many = trial("batch", -0.2), trial("batch", 0.1)
    for both in ((few, many), (many, few)):
        made = healthy(batch=4, trials=both)
        assert made.trial("batch") == many
        assert "batch_too_small" in told_of(made)
    assert made.trial("width") is None


def test_gradients_that_fade_before_the_first_step_are_told_of_though_they_grow() -> None:
    def starting(ratio: float) -> Training:
        first = tuple(weight(f"{i}", 1.0 if i else ratio) for i in range(6))
        return healthy(
            readings=(reading(0, 1.0, weights=first), *each(weights=LAYERS)[1:]),
        )

    (told,) = [each for each in found(starting(0.005)) if each.rule == "vanishing_gradients"]
    assert told.severity == "warning"
    assert "before the first step" in told.evidence
    assert "vanishing_gradients" not in told_of(starting(0.05))


def test_what_falls_late_but_not_very_late_is_told_of_where_a_longer_training_gains() -> None:
    readings = tuple(
        reading(100 * i, loss, valid_loss=loss)
        for i, loss in enumerate((1.0, 0.5, 0.3, 0.25, 0.167))
    )
    made = healthy(readings=readings, rivals=())
    assert "not_converged" not in told_of(made)
    gains, loses = trial("passes", 0.1), trial("passes", -0.1)
    assert "not_converged" in told_of(dataclasses.replace(made, trials=(gains,)))
    assert "not_converged" not in told_of(dataclasses.replace(made, trials=(loses,)))


def test_a_gain_that_is_sure_must_matter_too() -> None:
    sure = dataclasses.replace(trial("batch", 0.01), gain=Gain(mean=0.01, error=1e-3, rows=9000))
    assert "batch_too_small" not in told_of(healthy(batch=2, trials=(sure,)))


def test_a_trial_says_the_interval_and_the_size_to_try() -> None:
    (finding,) = [
        each
        for each in found(healthy(batch=2, trials=(trial("batch", 0.1),)))
        if each.rule == "batch_too_small"
    ]
    assert (
        "100 steps of 32 rows lose 10.0% of what a constant loses less (6.1% to 13.9%"
        in finding.evidence
    )
    assert finding.tries == {"size": 32}
    assert finding.strength == pytest.approx(0.1 / (1.645 * 0.02))  # of what is more than chance
    assert tried(healthy(), trial("passes", -0.1, 2.0)) == (
        "2 times the passes, 100 steps: -10.0% of what a constant loses gained (-13.9% to -6.1%)"
    )


def test_a_loss_that_falls_late_must_fall_further_where_longer_was_tried() -> None:
    made = healthy(readings=SLOW, rivals=())
    assert "not_converged" in told_of(made)
    assert "not_converged" in told_of(dataclasses.replace(made, trials=(trial("passes", 0.3, 2),)))
    assert "not_converged" not in told_of(
        dataclasses.replace(made, trials=(trial("passes", 0.0, 2),))
    )


def test_a_large_batch_is_cleared_by_smaller_ones_that_gain_nothing() -> None:
    made = FAULTY["batch_too_large"]
    assert isinstance(made, Training)
    for mean, told in ((0.0, False), (0.04, True)):  # of which neither is more than chance
        gain = Gain(mean=mean, error=0.08, rows=20)
        tried = dataclasses.replace(trial("batch", mean), gain=gain)
        assert ("batch_too_large" in told_of(dataclasses.replace(made, trials=(tried,)))) == told


def test_two_values_for_a_deviation_are_too_few_whatever_else_is_seen() -> None:
    assert "batch_too_small" in told_of(healthy(batch=2, statistics=statistics(values=2)))
    assert "batch_too_small" not in told_of(healthy(batch=4, statistics=statistics(values=4)))
    assert "batch_too_small" not in told_of(healthy(batch=2, statistics=statistics(values=128)))
    assert "batch_too_small" not in told_of(healthy(statistics=statistics(behind=0.0)))


@pytest.mark.parametrize(
    ("behind", "mean", "told"), [(0.9, 0.1, True), (0.9, 0.01, False), (0.2, 0.1, False)]
)
def test_kept_statistics_must_lag_and_cost(behind: float, mean: float, told: bool) -> None:
    made = healthy(statistics=statistics(behind=behind, mean=mean))
    assert ("normalization_disagrees" in told_of(made)) == told


@pytest.mark.parametrize("error", [0.001, 0.2])
def test_what_few_rows_say_by_chance_is_neither_overfitting_nor_underfitting(error: float) -> None:
    tight = error < 0.1
    over = healthy(readings=each(valid_loss=0.9, valid_error=error))
    assert ("overfitting" in told_of(over)) == tight
    under = healthy(
        readings=each(train_loss=0.7, valid_loss=0.7, batch_loss=0.7, valid_error=error), rivals=()
    )
    assert ("underfitting" in told_of(under)) == tight


def test_of_a_training_that_failed_nothing_is_told() -> None:
    assert found(healthy(status="failed", readings=(), losses=())) == []
