"""A socket at an address, or the reason why there is none."""

from __future__ import annotations

import errno
import socket

from pawl.errors import TaskError, option

BACKLOG = 1024
"""Connections that may wait to be accepted."""
_WHY = {
    errno.EADDRINUSE: "the port is in use",
    errno.EACCES: "the port may not be used by this user",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at an address.

    Args:
        host: A name or an address.
        port: 0 takes a free one.

    Raises:
        TaskError: It cannot.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise TaskError(
            f"cannot serve at {host!r}: no such host is known; give {option('host', '127.0.0.1')}"
        ) from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        why = _WHY.get(error.errno or 0, error.strerror)
        raise TaskError(
            f"cannot serve at {host}:{port}: {why}; give another {option('port')} (0 takes a free "
            f"one) or {option('host')}"
        ) from None
    return listening
