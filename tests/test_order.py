"""In which order known recipes are tried on a table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.modalities.known import STARTS
from pawl.modalities.order import Described, Known, known_tables, order_of

SMALL = Described(rows=500, columns=10, mixed=0.0, classes=True)
LARGE = Described(rows=50_000, columns=10, mixed=0.0, classes=True)


def known(about: Described = SMALL, **tried: tuple[float, float]) -> Known:
    return Known(about, tried)


def test_what_gains_most_per_second_comes_first() -> None:
    table = known(slow=(0.0, 10.0), quick=(0.4, 1.0), useless=(1.0, 0.1))
    assert order_of(["useless", "slow", "quick"], SMALL, [table]) == ["quick", "slow", "useless"]


def test_what_does_the_same_as_one_before_it_waits() -> None:
    tables = [
        known(net=(0.0, 1.0), twin=(0.05, 1.0), trees=(0.9, 1.0)),
        known(net=(0.9, 1.0), twin=(0.95, 1.0), trees=(0.3, 1.0)),
    ]
    assert order_of(["twin", "trees", "net"], SMALL, tables) == ["net", "trees", "twin"]


def test_tables_that_are_alike_count_most() -> None:
    tables = [
        known(SMALL, net=(0.0, 1.0), trees=(0.8, 1.0)),
        known(LARGE, net=(0.8, 1.0), trees=(0.0, 1.0)),
    ]
    assert order_of(["trees", "net"], SMALL, tables)[0] == "net"
    assert order_of(["net", "trees"], LARGE, tables)[0] == "trees"


def test_names_that_no_table_knows_come_last_as_given() -> None:
    assert order_of(["b", "a", "net"], SMALL, [known(net=(0.5, 1.0))]) == ["net", "b", "a"]
    assert order_of(["b", "a"], SMALL, []) == ["b", "a"]


def test_scores_become_shares_of_what_lies_between_baseline_and_best() -> None:
    scores = {"baseline": (0.5, 2.0), "good": (0.7, 4.0), "half": (0.6, 1.0), "bad": (0.1, 2.0)}
    found = Known.of(SMALL, scores).tried
    assert found == {"good": (0.0, 2.0), "half": (pytest.approx(0.5), 0.5), "bad": (1.0, 1.0)}


def test_where_nothing_beats_the_baseline_nothing_is_missing() -> None:
    scores = {"baseline": (0.5, 1.0), "worse": (0.4, 1.0)}
    assert Known.of(SMALL, scores).tried == {"worse": (0.0, 1.0)}


@given(
    st.lists(
        st.tuples(st.integers(10, 10**6), st.integers(1, 1000), st.floats(0, 1), st.booleans()),
        max_size=4,
    ),
    st.data(),
)
def test_an_order_has_every_name_once(
    abouts: list[tuple[int, int, float, bool]], data: st.DataObject
) -> None:
    names = ["a", "b", "c", "d"]
    numbers = st.tuples(st.floats(0, 1), st.floats(0.001, 100))
    tables = [
        Known(
            Described(*about),
            {name: data.draw(numbers) for name in data.draw(st.sets(st.sampled_from(names)))},
        )
        for about in abouts
    ]
    assert sorted(order_of(names, SMALL, tables)) == names


def test_shipped_tables_know_every_start_and_are_sound() -> None:
    tables = known_tables()
    assert len(tables) > 30
    assert {True, False} == {table.about.classes for table in tables}
    for table in tables:
        assert set(STARTS) - set(table.tried) <= {"encoded", "encoded_stopped", "members"}
        for regret, seconds in table.tried.values():
            assert 0.0 <= regret <= 1.0
            assert 0.0 < seconds < math.inf
