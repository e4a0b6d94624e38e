"""`pawl --version`."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from pawl.cli import show
from pawl.cli.options import FLAG


def _tell(asked: bool) -> None:
    if asked:
        show.line(f"pawl {importlib.metadata.version('pawl')}")
        raise typer.Exit


def of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            callback=_tell,
            is_eager=True,
            metavar=FLAG,
        ),
    ] = False,
) -> None:
    """What holds for all commands."""
