"""The command line: a thin layer over `pawl.api`."""

from pawl.cli.commands import app
from pawl.cli.entry import main

__all__ = ["app", "main"]
