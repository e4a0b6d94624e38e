"""The bars of where the seconds went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pawl.report import Report, seconds
from pawl.report.summary import PhaseSummary, Summary


@pytest.fixture
def summary(make: Callable[..., Report]) -> Summary:
    return make().summary


def having(summary: Summary, *phases: tuple[str, float, float, float]) -> Summary:
    found = [
        PhaseSummary(name=name, seconds=whole, waiting=waiting, compiling=compiling)
        for name, whole, waiting, compiling in phases
    ]
    return summary.model_copy(update={"phases": found})


def test_parts_are_shares_of_the_longest_phase(summary: Summary) -> None:
    given = having(
        summary, ("search", 40.0, 10.0, 4.0), ("race", 20.0, 0.0, 0.0), ("read", 0.1, 0.1, 0.0)
    )
    search, race = seconds.rows(given)  # what took no time is left out
    assert (search.name, search.working, search.waiting, search.compiling) == (
        "Search", 65.0, 25.0, 10.0,
    )  # fmt: skip
    assert search.told == "40 s, 10 s waiting, 4.0 s compiling"
    assert (race.working, race.told) == (50.0, "20 s")


@pytest.mark.parametrize(("waiting", "said"), [(5.0, False), (30.0, True)])
def test_cores_that_others_had_are_said(summary: Summary, waiting: float, said: bool) -> None:
    given = having(summary, ("search", 50.0, waiting, 0.0))
    assert ("60% of the time" in seconds.sentence(given)) is said


def test_a_campaign_without_times_has_no_bars(summary: Summary) -> None:
    given = having(summary)
    assert seconds.rows(given) == []
    assert "of the time" not in seconds.sentence(given)


def test_the_page_shows_them(pages: dict[str, str]) -> None:
    assert "Where the seconds went" in pages["proven"]
    assert '<i class="part waiting" style="width:10.0%"></i>' in pages["proven"]
    assert "4 min, 30 s waiting, 21 s compiling" in pages["proven"]
