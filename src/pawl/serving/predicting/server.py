"""Listens, predicts, and ends when it is told to."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from pawl.deployment import Bundle
from pawl.options.serving import NEW_TOKEN, TOKEN_VARIABLE, PredictionServerCall
from pawl.serving.listening import BACKLOG, bound
from pawl.serving.predicting.app import application
from pawl.serving.predicting.connections import Connection
from pawl.serving.security import is_loopback, new_token
from pawl.supervisor import Interrupted

_GRACE_SECONDS = 3
"""How long requests in work may take once the server is to end; the command is ended after 5."""


def serve(bundle: str | Path, *, told: Callable[[str], None] = print, **options: Any) -> None:
    """Serves a bundle's predictions over HTTP until the process is interrupted.

    Requests in work are then answered, as far as that takes seconds.

    Args:
        bundle: The bundle, or the folder of its campaign.
        told: Is told where it listens, a line.
        options: Fields of `pawl.options.serving.PredictionServerCall`.

    Raises:
        BundleError: It is no bundle, or damaged.
        TaskError: An option is none that is allowed, or the address cannot be listened at.
    """
    known = {"token": os.environ.get(TOKEN_VARIABLE) or None}
    call = _with_token(PredictionServerCall(**known | options), told)
    opened = Bundle.open(bundle, threads=call.threads)
    with bound(call.host, call.port) as listening:
        server = server_of(opened, call, listening)
        shown = f"[{call.host}]" if ":" in call.host else call.host
        port = listening.getsockname()[1]
        if call.token is None and not is_loopback(call.host):
            told(f"note: {call.host} may be reached by others, and there is no token")
        told(f"predictions of {opened.folder} at http://{shown}:{port}/ until Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt, Interrupted):  # uvicorn has ended by then
            server.run(sockets=[listening])


def _with_token(call: PredictionServerCall, told: Callable[[str], None]) -> PredictionServerCall:
    """Returns options with a token where one is to be made, which is said."""
    if call.token != NEW_TOKEN:
        return call
    token = new_token()
    told(f"requests need the header Authorization: Bearer {token}")
    return call.model_copy(update={"token": token})


def server_of(
    bundle: Bundle, call: PredictionServerCall, listening: socket.socket
) -> uvicorn.Server:
    """Returns what serves a bundle's predictions at a socket."""
    limited = type("Limited", (Connection,), {"most": call.max_connections})
    hosts = hosts_of(call.host, listening.getsockname()[1])
    config = uvicorn.Config(
        application(bundle, call, hosts), log_level="error", access_log=False, ws="none",
        http=limited, lifespan="on", backlog=BACKLOG, server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)


def hosts_of(host: str, port: int) -> frozenset[str] | None:
    """Returns the hosts that are served where only this machine is to ask; `None` elsewhere.

    >>> sorted(hosts_of("localhost", 80))
    ['127.0.0.1', '127.0.0.1:80', '[::1]', '[::1]:80', 'localhost', 'localhost:80']
    >>> hosts_of("0.0.0.0", 80) is None
    True
    """
    if not is_loopback(host):
        return None
    own = f"[{host}]" if ":" in host else host
    names = {"localhost", "127.0.0.1", "[::1]", own}
    bare = names if port == 80 else set()  # a client leaves the usual port out
    return frozenset({*(f"{name}:{port}" for name in names), *bare})
