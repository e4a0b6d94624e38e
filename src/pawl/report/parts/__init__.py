"""The report's parts, found by walking this package: a module joins by defining `PART`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pawl.report.parts.part import Bar, Content, Part, Section
from pawl.report.summary import Summary

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

_VERSION = "version"


@functools.cache
def parts() -> tuple[Part[Any], ...]:
    """Returns all parts, in the order of the page."""
    found = []
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        part = getattr(importlib.import_module(info.name), "PART", None)
        if isinstance(part, Part):
            found.append(part)
    return tuple(sorted(found, key=lambda part: (part.place, part.name)))


def gathered(session: Session, outcome: CampaignOutcome) -> dict[str, dict[str, Any]]:
    """Returns what all parts keep of a campaign, by name, each with its version."""
    kept = {}
    for part in parts():
        content = part.gather(session, outcome)
        if content is not None:
            kept[part.name] = {_VERSION: part.version, **content.model_dump(mode="json")}
    return kept


def content_of(part: Part[Any], summary: Summary) -> Any:
    """Returns what a summary has of a part.

    `None` if it has nothing, or what another version of the part wrote.
    """
    kept = dict(summary.parts.get(part.name, {}))
    if kept.pop(_VERSION, None) != part.version:
        return None
    try:
        return part.content.model_validate(kept)
    except ValidationError:
        return None


def sections(summary: Summary) -> list[tuple[str, Section]]:
    """Returns the sections of the parts that a summary has, with their names."""
    found = []
    for part in parts():
        content = content_of(part, summary)
        section = None if content is None else part.section(content, summary)
        if section is not None:
            found.append((part.name, section))
    return found


__all__ = ["Bar", "Content", "Part", "Section", "content_of", "gathered", "parts", "sections"]
