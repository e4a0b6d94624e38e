"""A campaign's ledger: a new one, or the one to go on with if it is still the same campaign."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pawl.environment import versions
from pawl.errors import LedgerError, option
from pawl.ledger.store import Ledger


def ledger_of(
    folder: Path,
    fingerprint: str,
    code: dict[str, str | None],
    identity: dict[str, Any],
    *,
    resume: bool,
    accept: bool,
) -> Ledger:
    """Starts a campaign's ledger, or opens it to go on if it is still the same campaign.

    Args:
        folder: The campaign's.
        fingerprint: Of its data.
        code: Fingerprints of the user's code, by role.
        identity: What else a new ledger remembers.
        resume: Whether to go on.
        accept: Whether to go on though the code has changed.

    Raises:
        LedgerError: It is another campaign's, or of another version.
    """
    if not resume:
        what = {"fingerprint": fingerprint, "code": code, "versions": versions()}
        return Ledger.create(folder, {**identity, **what})
    ledger = Ledger.open(folder)
    if ledger.identity.get("fingerprint") != fingerprint:
        ledger.close()
        raise LedgerError(
            f"the data is not what the campaign in {str(folder)!r} was started with; give the same "
            f"data, or start anew with another {option('out')}"
        )
    written, present = ledger.identity["versions"].get("pawl"), versions().get("pawl")
    if written != present:
        ledger.close()
        raise LedgerError(
            f"the campaign in {str(folder)!r} was started with pawl {written} and this is {present}; "
            f"finish it with the version that started it, or start anew with another {option('out')}"
        )
    try:
        _hold_code(ledger, code, accept=accept)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _hold_code(ledger: Ledger, code: dict[str, str | None], *, accept: bool) -> None:
    """Refuses a campaign's code that has changed; with `accept`, puts on record that it has.

    Raises:
        LedgerError: It has changed.
    """
    known = ledger.accepted[-1]["code"] if ledger.accepted else ledger.identity["code"]
    changed = [role for role, print_ in code.items() if print_ != known.get(role)]
    if not changed:
        return
    if not accept:
        what = f"{', '.join(changed)} {'are' if len(changed) > 1 else 'is'}"
        raise LedgerError(
            f"the task's {what} not what the campaign in {str(ledger.folder)!r} was started with; put "
            f"the code back, go on all the same with {option('accept_changes', True)}, or start anew "
            f"with another {option('out')}"
        )
    ledger.accept({"changed": changed, "code": code, "unix_time": time.time()})
