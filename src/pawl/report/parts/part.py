"""What a part of the report is: a piece of `summary.json`, and the section of the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pawl.report.figures import Figure, Table
from pawl.report.summary import Summary
from pawl.report.values import Value

if TYPE_CHECKING:  # they import torch, which a page that is rendered anew does not need
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session


class Content(Value):
    """Base of what a part keeps in `summary.json`."""


C = TypeVar("C", bound=Content)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of several pieces.

    Attributes:
        name: What it is of.
        told: Its length in words.
        pieces: By the tone of a legend's entry, percentages of the longest bar.
    """

    name: str
    told: str
    pieces: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page. All texts are plain; the template escapes them.

    Attributes:
        title: Its heading.
        lead: What it comes to, in words.
        legend: What the tones of bars stand for, `(tone, text)`.
        bars: Bars, one below the other.
        figures: Drawings with their numbers.
        tables: Tables.
        note: What else is to be known.
    """

    title: str
    lead: str = ""
    legend: Sequence[tuple[str, str]] = ()
    bars: Sequence[Bar] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Part(Generic[C]):
    """One part of the report.

    Attributes:
        name: Its key among the summary's `parts`; in snake case.
        version: Of its content; raised when what it means changes.
        content: What it keeps.
        gather: Makes the content when a campaign ends; `None` if there is nothing to say.
        section: Makes the section of the content; `None` if there is nothing to show. It runs without
            torch: `pawl report` renders pages anew.
        place: Parts come in the order of their places, then of their names.
    """

    name: str
    version: int
    content: type[C]
    gather: Callable[[Session, CampaignOutcome], C | None]
    section: Callable[[C, Summary], Section | None]
    place: int = 100
