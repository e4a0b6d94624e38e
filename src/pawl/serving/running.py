"""A server on this machine: its address, its token, its end."""

from __future__ import annotations

import errno
import socket
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn

from pawl.errors import TaskError, option
from pawl.serving.security import Access

_GRACE_SECONDS = 1
_EVERY = ("0.0.0.0", "::", "")
_WHY = {
    errno.EADDRINUSE: "the port is in use",
    errno.EACCES: "the port may not be used by this user",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


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


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at an address.

    Raises:
        TaskError: It cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
    except (OSError, UnicodeError):
        raise TaskError(
            f"cannot serve at {host!r}: no such host is known; give {option('host', '127.0.0.1')}"
        ) from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = _WHY.get(error.errno or 0, error.strerror)
        raise TaskError(
            f"cannot serve at {host}:{port}: {why}; give another {option('port')} (0 takes a free "
            f"one) or {option('host')}"
        ) from None
    return listening
