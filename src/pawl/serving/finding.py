"""The campaigns in a folder, by names that hold no path."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from pawl.errors import LedgerError
from pawl.ledger import LEDGER_FILE
from pawl.serving.reading import Campaign

_DEPTH = 3
_MOST = 500


class Campaigns:
    """All campaigns in a folder, or the one that it is.

    Args:
        folder: A campaign's folder, or one that holds some, at most three levels down.
        awaited: Whether a campaign may come later.

    Raises:
        LedgerError: There is no campaign.
    """

    def __init__(self, folder: Path, *, awaited: bool = False) -> None:
        self.folder = folder.absolute()
        self._known: dict[str, Campaign] = {}
        self._lock = threading.Lock()
        if awaited:
            return
        if not self.folder.is_dir():
            raise LedgerError(
                f"{str(folder)!r} is no folder; give that of a campaign, or of several"
            )
        if not self.all():
            raise LedgerError(
                f"{str(folder)!r} holds no campaign (no {LEDGER_FILE}); give the folder of one, as "
                "--out named it, or a folder that holds some"
            )

    @property
    def single(self) -> bool:
        """Whether the folder is a campaign's own."""
        return (self.folder / LEDGER_FILE).is_file()

    def all(self) -> list[Campaign]:
        """Returns the campaigns that are there now, the latest first."""
        with self._lock:
            found = {}
            for folder in _folders(self.folder):
                label = (
                    str(folder.relative_to(self.folder)) if folder != self.folder else folder.name
                )
                id = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
                found[id] = self._known.get(id) or Campaign(folder, id, label)
            self._known = found
            return sorted(found.values(), key=_changed, reverse=True)

    def get(self, id: str) -> Campaign | None:
        """Returns a campaign by its id."""
        if id not in self._known:
            self.all()
        return self._known.get(id)


def _folders(folder: Path, depth: int = _DEPTH) -> list[Path]:
    return list(_walked(folder, depth))[:_MOST]


def _walked(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / LEDGER_FILE).is_file():
        yield folder
        return
    if depth == 0:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        # What a link points to may lie elsewhere.
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _walked(Path(entry.path), depth - 1)


def _changed(campaign: Campaign) -> float:
    try:
        return (campaign.folder / LEDGER_FILE).stat().st_mtime
    except OSError:
        return 0.0
