"""The process that serves a campaign's page beside it; `pawl.following.page` starts it."""

from __future__ import annotations

import dataclasses
import socket
import sys
from pathlib import Path

from pawl.processes import end_with_parent


def main(number: str, parent: str, folder: str) -> None:
    """Serves until the parent ends or ends it.

    Args:
        number: The descriptor of a socket that listens.
        parent: The process beside which it runs.
        folder: The campaign's, whose ledger may not be there yet.
    """
    end_with_parent(int(parent))
    token = sys.stdin.readline().strip()
    from pawl.serving.dashboard import application  # noqa: PLC0415 - not before it may end
    from pawl.serving.finding import Campaigns  # noqa: PLC0415
    from pawl.serving.running import server  # noqa: PLC0415
    from pawl.serving.security import Access  # noqa: PLC0415

    with socket.socket(fileno=int(number)) as listening:
        host, port = listening.getsockname()[:2]
        access = dataclasses.replace(Access.of(host, port), token=token)
        campaigns = Campaigns(Path(folder), awaited=True)
        server(application(campaigns, access)).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
