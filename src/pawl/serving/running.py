"""A server on this machine: its address, its token, its end."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn

from pawl.serving.listening import bound
from pawl.serving.security import Access

_GRACE_SECONDS = 1
_EVERY = ("0.0.0.0", "::", "")


def run(
    make: Callable[[Access], Any],
    host: str,
    port: int,
    *,
    told: Callable[[str], None],
    browser: bool = False,
) -> None:
    """Serves an application until the process is interrupted.

    Args:
        make: Returns the application, given what opens it.
        host: Address to listen at.
        port: Port; 0 takes a free one.
        told: Is told the address with its token, once it is served.
        browser: Whether to open it in a browser.

    Raises:
        TaskError: The address cannot be listened at.
    """
    listening = bound(host, port)
    with listening:
        number = listening.getsockname()[1]
        access = Access.of(host, number)
        address = f"http://{_shown(host)}:{number}/?token={access.token}"
        serving = server(make(access))
        told(address)
        if browser:
            webbrowser.open(address)
        serving.run(sockets=[listening])


def server(application: Any) -> uvicorn.Server:
    """Returns a server for an application, which says nothing and believes no proxy's headers."""
    config = uvicorn.Config(
        application, log_level="critical", access_log=False, lifespan="off", ws="none", http="h11",
        proxy_headers=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)


def _shown(host: str) -> str:
    """Returns an address as a browser on this machine calls it."""
    if host in _EVERY:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
