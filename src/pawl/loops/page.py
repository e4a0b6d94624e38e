"""The page of a watched loop: findings, curves, layers over time; one file that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources

from pawl.diagnosing import Finding, Training
from pawl.report.filling import environment
from pawl.report.text import capital, clean, count, duration, humanize, percent
from pawl.serving.layers import losses, of_watched

_HIGH = 640


def page(run: Training, findings: Sequence[Finding], name: str, trouble: str = "") -> str:
    """Returns the page as HTML text; `trouble` is why readings are missing."""
    from markupsafe import Markup  # noqa: PLC0415

    css = "\n".join(
        resources.files(room).joinpath(path).read_text(encoding="utf-8")
        for room, path in (
            ("pawl.report", "templates/report.css"), ("pawl.serving", "static/dashboard.css"),
        )
    )  # fmt: skip
    known = run.to_dict()
    return str(
        environment("pawl.serving")
        .get_template("watch.html.j2")
        .render(
            css=Markup(css),
            name=clean(name),
            steps=count(run.total, "step"),
            status=run.status,
            readings=count(len(run.readings), "reading"),
            trouble=clean(trouble),
            times=_times(run),
            findings=[
                {
                    "rule": humanize(each.rule).capitalize(),
                    "severity": each.severity,
                    "fault": clean(each.evidence),
                    "fix": _fix(each),
                }
                for each in findings
            ],
            curves=losses(known, "Losses, means since the reading before"),
            layers=of_watched(known),
        )
    )


def _fix(finding: Finding) -> str:
    parts = [", ".join(humanize(name) for name in finding.suggests), clean(finding.advice)]
    return capital("; ".join(part for part in parts if part))


def _times(run: Training) -> list[tuple[str, str, str]]:
    """Returns the parts of a step: name, share, seconds."""
    times = run.times
    if times is None or not times.whole > 0:
        return []
    named = {
        "Data": times.data, "Forward": times.forward, "Loss and backward": times.backward,
        "Update": times.update,
    }  # fmt: skip
    return [
        (name, percent(seconds / times.whole), _brief(seconds)) for name, seconds in named.items()
    ]


def _brief(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else duration(seconds)


def embedded(text: str) -> str:
    """Returns a page as a notebook shows it: in a frame of its own, which runs no script."""
    return (
        f'<iframe sandbox srcdoc="{html.escape(text)}" width="100%" height="{_HIGH}" '
        'style="border:0" title="What pawl.watch saw"></iframe>'
    )
