"""The report's parts: each joins by a module, keeps versioned content, and shows its section."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pawl.report import Report, Summary, parts, render
from pawl.report.parts import Content, Part, Section, content_of, sections
from pawl.report.parts.progress import Best, Progress, more_time
from pawl.report.parts.progress import section as progress_section
from pawl.report.parts.time import PART, Phase, Time, section


@pytest.fixture
def report(make: Callable[..., Report]) -> Report:
    return make()


def spent(*phases: tuple[str, float, float, float]) -> Time:
    return Time(
        phases=[
            Phase(name=name, seconds=whole, waiting=waiting, compiling=compiling)
            for name, whole, waiting, compiling in phases
        ]
    )


def test_bars_are_shares_of_the_longest_phase(report: Report) -> None:
    given = spent(
        ("search", 40.0, 10.0, 4.0), ("race", 20.0, 0.0, 0.0), ("read", 0.1, 0.1, 0.0)
    )  # fmt: skip
    found = section(given, report.summary)
    assert found is not None
    search, race = found.bars  # what took no time is left out
    assert (search.name, list(search.pieces.values())) == ("Search", [65.0, 25.0, 10.0])
    assert search.told == "40 s, 10 s waiting, 4.0 s compiling"
    assert (race.pieces["working"], race.told) == (50.0, "20 s")
    assert {tone for tone, _ in found.legend} == set(search.pieces)


@pytest.mark.parametrize(("waiting", "said"), [(5.0, False), (30.0, True)])
def test_cores_that_others_had_are_said(report: Report, waiting: float, said: bool) -> None:
    found = section(spent(("search", 50.0, waiting, 0.0)), report.summary)
    assert found is not None
    assert ("60% of the time" in found.lead) is said


def test_a_campaign_without_times_has_no_bars(report: Report) -> None:
    assert section(spent(), report.summary) is None


def test_the_page_shows_them(pages: dict[str, str]) -> None:
    assert "Where the seconds went" in pages["proven"]
    assert '<i class="part waiting" style="width:10.0%"></i>' in pages["proven"]
    assert "4 min, 30 s waiting, 21 s compiling" in pages["proven"]


def progress(*scores: tuple[float, float], searched: tuple[float, float] | None) -> Progress:
    return Progress(
        best={"networks": [Best(seconds=at, score=score) for at, score in scores]},
        searched=searched,
    )


@pytest.mark.parametrize(
    ("scores", "direction", "said"),
    [
        # Began at 10 s: the last doubling is from 20 to 30 s.
        ([(12.0, 0.80), (20.0, 0.84), (28.0, 0.85)], "maximize", "From 20 s to 30 s.*by 0.0100"),
        ([(12.0, 0.9), (25.0, 0.5)], "minimize", "improved by 0.4000"),
        ([(12.0, 0.80), (19.0, 0.84)], "maximize", "became no better"),
        ([(28.0, 0.80)], "maximize", "too short"),
    ],
)
def test_what_more_time_would_give_is_by_the_last_doubling(
    scores: list[tuple[float, float]], direction: str, said: str
) -> None:
    assert re.search(said, more_time(progress(*scores, searched=(10.0, 30.0)), direction))


def test_learners_alone_say_nothing_of_more_search(report: Report) -> None:
    alone = Progress(best={"learners": [Best(seconds=3.0, score=0.5)]}, searched=None)
    found = progress_section(alone, report.summary)
    assert "too short" in found.lead
    assert found.figures[0].table.rows == [("Learners", "3.0 s", "0.50000")]


class Count(Content):
    """What the made-up part keeps."""

    number: int


MADE_UP = Part(
    name="made_up",
    version=2,
    content=Count,
    gather=lambda _session, _outcome: Count(number=3),
    section=lambda count, _: Section(title="Made <up>", lead=f"{count.number} & more"),
    place=1,
)


def test_a_part_of_ones_own_shows_on_the_page(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "parts", lambda: (MADE_UP, PART))

    def having(**kept: object) -> Report:
        found = {**report.summary.parts, "made_up": kept}
        summary = report.summary.model_copy(update={"parts": found})
        return Report(
            summary=summary, trials=report.trials, curves=report.curves,
            recipe_toml=report.recipe_toml,
        )  # fmt: skip

    page = render(having(version=2, number=3))
    assert "Made &lt;up&gt;" in page
    assert "3 &amp; more" in page
    assert page.index("Made") < page.index("Where the seconds went")
    # What another version wrote, or what is damaged, is not shown as if it were this one's.
    for kept in ({"version": 1, "number": 3}, {"version": 2, "other": 3}, {}):
        assert content_of(MADE_UP, having(**kept).summary) is None
        assert [name for name, _ in sections(having(**kept).summary)] == ["time"]


def test_parts_have_names_versions_and_content(report: Report) -> None:
    found = parts.parts()
    assert PART in found
    assert len({part.name for part in found}) == len(found)
    for part in found:
        assert part.name.isidentifier()
        assert part.version >= 1
        with pytest.raises(ValidationError):
            part.content.model_validate({"no such field": 1})
    assert content_of(PART, Summary.model_validate(report.summary.model_dump(by_alias=True)))
