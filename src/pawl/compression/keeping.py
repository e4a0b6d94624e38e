"""Limits of a campaign: its bundle is compressed until it keeps them, if that can be."""

from __future__ import annotations

from pawl import pacing
from pawl.compression.result import RECORD, Compressed
from pawl.compression.rows import GivenRows
from pawl.compression.run import Settings, run
from pawl.compression.writing import files_of
from pawl.data import LoadedData
from pawl.deployment import Bundle
from pawl.deployment.bundle import FILES, MANIFEST
from pawl.execution import Session
from pawl.options import LimitOptions
from pawl.task import ModelFactory

CLAIM = "limits"
"""What the test rows are looked at for: on record whether or not it comes to that."""
BEFORE, NEAREST = "uncompressed", "nearest"
"""Folders in a campaign's: the bundle as it was, and the nearest one where no limits can be kept."""


def keep_within(
    session: Session,
    data: LoadedData,
    bundle: Bundle,
    options: LimitOptions,
    model: ModelFactory | None,
) -> Compressed:
    """Makes a campaign's bundle keep within limits, if a model that loses little enough does.

    Then `bundle` holds that, and `uncompressed` what it was. If none does, `bundle` stays as it is, and
    `nearest` has the model that comes nearest. `compress.json` has all that was tried.

    The development rows are learned from, test rows choose and judge: a further look at them, which
    `Ledger.touch_test` has on record. Only time may be short: a step that is then left out says so.

    Args:
        session: The campaign's; seconds that were set aside are used up here.
        data: The task's.
        bundle: What the campaign leaves.
        options: The limits.
        model: What makes the user's own model; `None` for pawl's.

    Returns:
        What was found.
    """
    ledger, clock, behind = session.ledger, session.clock, pacing.reporting(session)

    def left() -> float | None:
        return None if clock.left is None else clock.left - behind

    clock.aside = 0.0
    rows = GivenRows.of_campaign(data, ledger.folder)
    settings = Settings(
        options, seed=session.rows.derive("limits"), model=model, listener=session.listener,
        left=left, patient=True,
    )  # fmt: skip
    pressed = run(bundle, session.problem.objective, rows, settings, ledger.folder)
    found = pressed.found
    if found.is_changed:
        made = files_of(bundle, pressed)
        if not found.missed:
            for name in (*FILES, MANIFEST):
                ledger.write_file(f"{BEFORE}/{name}", (bundle.folder / name).read_bytes())
        inside = NEAREST if found.missed else bundle.folder.name
        for name, content in made.items():
            ledger.write_file(f"{inside}/{name}", content)
        Bundle.open(ledger.folder / inside)
    ledger.write_file(RECORD, (found.to_json() + "\n").encode())
    return found
