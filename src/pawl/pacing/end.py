"""The end of a campaign: the time that what follows the last training takes."""

from __future__ import annotations

from pawl.execution import Session, available

SLOWER_FINAL = 1.6
"""How much longer a final recipe trains than a baseline, as planned for."""
RESPLIT_ROWS = 0.94
"""Training rows of a pair of the confirmation, relative to the search's."""
FEW_MODELS = 3
"""Averaged models of a short end."""
_ONE_MORE = 0.35  # what one more averaged model adds to an export
_REPORT_SECONDS, _REPORT_EXPORTS = 1.0, 3.0  # at least these seconds, or so many small exports
_ROOM = 1.15


def ending(session: Session, models: int) -> float:
    """Returns the seconds of what follows the last training: intervals, export, latency, report.

    By the processor's seconds of one export, measured at the start, times how much longer than the
    processor the clock has taken so far: neighbors on the same cores will slow the end as well.

    Args:
        session: The campaign's.
        models: Whose mean the exported graphs predict.
    """
    once = session.clock.export_seconds
    arm = once * (1.0 + _ONE_MORE * (models - 1))
    report = max(_REPORT_SECONDS, _REPORT_EXPORTS * once)
    return _ROOM * session.clock.slowdown * (2 * arm / min(2, available()) + report)
