"""Where the seconds went: a bar for each phase, with waiting and compiling apart."""

from __future__ import annotations

from dataclasses import dataclass

from pawl.report.summary import Summary
from pawl.report.text import capital, clean, duration, humanize

_SHOWN = 0.005  # of the longest phase; less is no bar
_MUCH = 0.2


@dataclass(frozen=True, kw_only=True)
class PhaseRow:
    """A phase: its seconds in words, and its parts as percentages of the longest phase."""

    name: str
    told: str
    working: float
    waiting: float
    compiling: float


def rows(summary: Summary) -> list[PhaseRow]:
    """Returns the phases in order, those that took no time left out."""
    longest = max((phase.seconds for phase in summary.phases), default=0.0)
    listed = []
    for phase in summary.phases:
        if phase.seconds <= _SHOWN * longest:
            continue
        told = [duration(phase.seconds)]
        told += [f"{duration(phase.waiting)} waiting"] if phase.waiting >= 0.1 else []
        told += [f"{duration(phase.compiling)} compiling"] if phase.compiling >= 0.1 else []
        working = max(0.0, phase.seconds - phase.waiting - phase.compiling)
        parts = [
            round(100 * part / longest, 2) for part in (working, phase.waiting, phase.compiling)
        ]
        listed.append(
            PhaseRow(
                name=capital(humanize(clean(phase.name))),
                told=", ".join(told),
                working=parts[0],
                waiting=parts[1],
                compiling=parts[2],
            )
        )
    return listed


def sentence(summary: Summary) -> str:
    """Returns what the bars say, in words."""
    whole = sum(phase.seconds for phase in summary.phases)
    waiting = sum(phase.waiting for phase in summary.phases)
    if not whole or waiting < _MUCH * whole:
        return "Waiting is for a core that other processes had; compiling is of training steps."
    return (
        f"Other processes had the cores for {waiting / whole:.0%} of the time: on a machine of its own "
        "this campaign would have held more trainings."
    )
