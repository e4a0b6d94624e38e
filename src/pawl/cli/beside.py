"""The page beside a command's campaign."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from pawl.cli import show
from pawl.supervisor import Interrupted


@contextlib.contextmanager
def page(
    ctx: typer.Context, given: dict[str, Any], folder: str | Path | None, *, stays: bool
) -> Iterator[None]:
    """Serves a campaign's page beside the block, if it was asked for, and says where.

    Args:
        ctx: The command's.
        given: Its options; `serve` is taken from them where it is done here.
        folder: The campaign's; `None` where it is not known yet.
        stays: Whether at a terminal the page stays after the block, until Ctrl-C.
    """
    if folder is None or not given.pop("serve", False):
        yield
        return
    from pawl.following import page_beside  # noqa: PLC0415

    with page_beside(Path(folder)) as served:
        sys.stderr.write(f"serving {served.address}\n")
        yield
        if stays and sys.stdout.isatty():
            ctx.obj.tell()  # the campaign is over, and so is its clock
            show.line("page     open until Ctrl-C")
            with contextlib.suppress(Interrupted):
                served.linger()
