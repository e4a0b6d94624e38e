"""The process that copies a campaign's trials to where others read them; `beside` starts it."""

from __future__ import annotations

import contextlib
import hashlib
import select
import sys
from pathlib import Path
from typing import Any, Protocol

from pawl.errors import first_line
from pawl.processes import end_with_parent
from pawl.serving.reading import Campaign, Curve, Known, Trial

_LOOK_SECONDS = 1.0


class Sink(Protocol):
    """Where trials go; whatever it raises ends the copy, and nothing else."""

    def trial(self, known: Known, trial: Trial, curve: Curve, layers: dict[str, Any]) -> None:
        """Takes a training that has ended."""

    def ended(self, known: Known) -> None:
        """Takes what the campaign found, when it is finished."""

    def close(self) -> None:
        """Writes what is held back."""


def sink(kind: str, where: str) -> Sink:
    """Returns a sink by its kind."""
    if kind == "tensorboard":
        from pawl.following.tensorboard import TensorBoard  # noqa: PLC0415

        return TensorBoard(Path(where))
    from pawl.following.mlflow import MLflow  # noqa: PLC0415

    return MLflow(where)


class Copy:
    """Copies trials once each, also of a campaign that is gone on with.

    Args:
        campaign: Whose.
        to: Where to.
        name: What is unlike for each place that trials go to.
    """

    def __init__(self, campaign: Campaign, to: Sink, name: str) -> None:
        self._campaign, self._to = campaign, to
        # By a digest: an address may hold a password.
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        self._mark = campaign.folder / f".logged-{digest}"
        self._last = _number_in(self._mark)
        self._ended = False

    def look(self) -> None:
        """Copies what is new."""
        known, _ = self._campaign.look()
        if known.trouble:  # there is no ledger yet
            return
        for trial in known.trials:
            if trial.id > self._last:
                curve = self._campaign.curves([trial.id]).get(trial.id, [])
                self._to.trial(known, trial, curve, self._campaign.layers(trial.id))
                self._last = trial.id
                with contextlib.suppress(OSError):  # at worst some are there twice
                    self._mark.write_text(str(self._last), encoding="utf-8")
        if known.summary is not None and not self._ended:
            self._to.ended(known)
            self._ended = True


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def copy(folder: Path, to: Sink, name: str) -> None:
    """Copies a campaign's trials until standard input ends."""
    copying = Copy(Campaign(folder, "0", folder.name), to, name)
    going = True
    while going:
        going = not select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]
        copying.look()
    to.close()


def main(kind: str, where: str, folder: str, parent: str) -> int:
    """Copies; says in one line why it could not go on."""
    end_with_parent(int(parent))
    try:
        copy(Path(folder), sink(kind, where), f"{kind}:{where}")
    except Exception as error:
        sys.stdout.write(f"{type(error).__name__}: {first_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
