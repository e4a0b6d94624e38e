"""The record of a campaign: append-only SQLite, one writer, plain records."""

from pawl.ledger.database import LEDGER_FILE
from pawl.ledger.folders import new_folder
from pawl.ledger.records import TrialRecord, Unit
from pawl.ledger.store import Ledger

__all__ = ["LEDGER_FILE", "Ledger", "TrialRecord", "Unit", "new_folder"]
