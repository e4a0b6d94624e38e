"""`pawl serve`: pages over campaigns, on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pawl.cli import show
from pawl.cli.commands import app
from pawl.errors import TaskError
from pawl.supervisor import Interrupted

_NEEDED = ("starlette", "uvicorn")


@app.command()
def serve(
    folder: Annotated[
        Path,
        typer.Argument(metavar="[DIR]", help="A campaign's folder, or one that holds several."),
    ] = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8517,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Watch campaigns in a browser while they run: trials, curves, evidence, a button to end them.

    Example: pawl serve runs
    """
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise TaskError(
            f"pawl serve needs {' and '.join(lacking)}; install {'it' if len(lacking) == 1 else 'them'} "
            "by pip install 'pawl[serve]'"
        )
    from pawl.serving.dashboard import application  # noqa: PLC0415
    from pawl.serving.finding import Campaigns  # noqa: PLC0415
    from pawl.serving.running import run  # noqa: PLC0415
    from pawl.serving.security import is_loopback  # noqa: PLC0415

    campaigns = Campaigns(folder)
    if not is_loopback(host):
        show.line(f"note: {host} may be reached by others, and what is served is not encrypted")
    with contextlib.suppress(Interrupted):
        run(partial(application, campaigns), host, port, told=_tell, browser=open_)


def _tell(address: str) -> None:
    show.line(f"serving {address}")
    show.line("Ctrl-C ends the pages, never a campaign")
