"""The command that serves predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.options import with_options
from pawl.errors import TaskError, option
from pawl.options.serving import PredictionServerCall


@with_options(PredictionServerCall)
def serve(
    given: dict[str, Any],
    predict: Annotated[
        Path | None, typer.Option(help="The bundle, or the folder of its campaign.")
    ] = None,
) -> None:
    """Serve a bundle's predictions over HTTP: JSON or CSV rows, or images, to predictions.

    Example: pawl serve --predict runs/adult --port 8000
    """
    if predict is None:
        raise TaskError(f"{option('predict')} is missing; give the bundle to serve")
    try:
        from pawl.serving.predicting import serve as run  # noqa: PLC0415
    except ImportError as error:
        raise TaskError(
            f"serving needs {error.name}, which is not installed; run pip install 'pawl[serve]'"
        ) from None
    run(predict, told=show.line, **given)
