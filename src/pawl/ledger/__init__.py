"""The record of a campaign: append-only SQLite, one writer, plain records."""

from pawl.ledger.beside import (
    Progress,
    ask_to_stop,
    read_progress,
    started_of,
    stop_asked,
    write_progress,
)
from pawl.ledger.database import LEDGER_FILE
from pawl.ledger.folders import TRAINED, new_folder, place_of
from pawl.ledger.opening import ledger_of
from pawl.ledger.records import TrialRecord, Unit
from pawl.ledger.store import Ledger

__all__ = [
    "LEDGER_FILE",
    "TRAINED",
    "Ledger",
    "Progress",
    "TrialRecord",
    "Unit",
    "ask_to_stop",
    "ledger_of",
    "new_folder",
    "place_of",
    "read_progress",
    "started_of",
    "stop_asked",
    "write_progress",
]
