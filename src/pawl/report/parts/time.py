"""Where the seconds went: a bar for each phase, with waiting and compiling apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawl.report.parts.part import Bar, Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import capital, clean, duration, humanize

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

_SHOWN = 0.005  # of the longest phase; less is no bar
_MUCH = 0.2
_LEGEND = (("working", "work"), ("waiting", "waiting for a core"), ("compiling", "compiling"))


class Phase(Content):
    """Seconds of a phase. Parts of them: `waiting` for a core that others had, `compiling` a step."""

    name: str
    seconds: float
    waiting: float
    compiling: float


class Time(Content):
    """A campaign's phases, in order."""

    phases: list[Phase]


def gather(session: Session, _: CampaignOutcome) -> Time:
    """Returns what each phase of the campaign took until now."""
    spent = session.timekeeper.note()
    return Time(
        phases=[
            Phase(
                name=name, seconds=round(s.seconds, 3), waiting=round(s.waiting, 3),
                compiling=round(s.compiling, 3),
            )
            for name, s in spent.items()
        ]
    )  # fmt: skip


def section(time: Time, _: Summary) -> Section | None:
    """Returns the bars, those of phases that took no time left out."""
    longest = max((phase.seconds for phase in time.phases), default=0.0)
    bars = [_bar(phase, longest) for phase in time.phases if phase.seconds > _SHOWN * longest]
    if not bars:
        return None
    return Section(
        title="Where the seconds went", lead=_sentence(time.phases), legend=_LEGEND, bars=bars
    )


def _bar(phase: Phase, longest: float) -> Bar:
    told = [duration(phase.seconds)]
    told += [f"{duration(phase.waiting)} waiting"] if phase.waiting >= 0.1 else []
    told += [f"{duration(phase.compiling)} compiling"] if phase.compiling >= 0.1 else []
    working = max(0.0, phase.seconds - phase.waiting - phase.compiling)
    pieces = {"working": working, "waiting": phase.waiting, "compiling": phase.compiling}
    return Bar(
        name=capital(humanize(clean(phase.name))),
        told=", ".join(told),
        pieces={tone: round(100 * piece / longest, 2) for tone, piece in pieces.items()},
    )


def _sentence(phases: list[Phase]) -> str:
    """Returns what the bars say, in words."""
    whole = sum(phase.seconds for phase in phases)
    waiting = sum(phase.waiting for phase in phases)
    if not whole or waiting < _MUCH * whole:
        return "Waiting is for a core that other processes had; compiling is of training steps."
    return (
        f"Other processes had the cores for {waiting / whole:.0%} of the time: on a machine of its own "
        "this campaign would have held more trainings."
    )


PART = Part(name="time", version=1, content=Time, gather=gather, section=section)
