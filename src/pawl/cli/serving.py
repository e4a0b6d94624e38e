"""`pawl serve`: pages over campaigns, or a bundle's predictions over HTTP."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.options import FLAG, with_options
from pawl.errors import TaskError, option
from pawl.options.serving import PredictionServerCall
from pawl.supervisor import Interrupted

_SHARED = ("host", "port")


@with_options(PredictionServerCall)
def serve(
    given: dict[str, Any],
    folder: Annotated[
        Path,
        typer.Argument(metavar="[DIR]", help="A campaign's folder, or one that holds several."),
    ] = Path("runs"),
    predict: Annotated[
        Path | None,
        typer.Option(help="Serve this bundle's predictions: a bundle, or its campaign's folder."),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Open the campaigns' page in a browser.", metavar=FLAG)
    ] = False,
) -> None:
    """Watch campaigns in a browser while they run, or serve a bundle's predictions over HTTP.

    Example: pawl serve runs

    Example: pawl serve --predict runs/adult
    """
    try:
        if predict is None:
            _pages(folder, PredictionServerCall(**given), open_=open_)
        else:
            from pawl.serving.predicting import serve as run  # noqa: PLC0415

            run(predict, told=show.line, **given)
    except ImportError as error:
        raise TaskError(
            f"serving needs {error.name}, which is not installed; run pip install 'pawl[serve]'"
        ) from None


def _pages(folder: Path, call: PredictionServerCall, *, open_: bool) -> None:
    """Serves the pages over campaigns."""
    from pawl.serving.dashboard import application  # noqa: PLC0415
    from pawl.serving.finding import Campaigns  # noqa: PLC0415
    from pawl.serving.running import run  # noqa: PLC0415
    from pawl.serving.security import is_loopback  # noqa: PLC0415

    other = [name for name in sorted(call.model_fields_set) if name not in _SHARED]
    if other:
        raise TaskError(
            f"got {option(other[0], getattr(call, other[0]))}, which is for a server of predictions; "
            f"give {option('predict')} as well, or leave it out"
        )
    campaigns = Campaigns(folder)
    if not is_loopback(call.host):
        show.line(
            f"note: {call.host} may be reached by others, and what is served is not encrypted"
        )
    with contextlib.suppress(Interrupted):
        run(partial(application, campaigns), call.host, call.port, told=_tell, browser=open_)


def _tell(address: str) -> None:
    show.line(f"serving {address}")
    show.line("Ctrl-C ends the pages, never a campaign")
