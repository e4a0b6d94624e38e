"""Connections that are slow, silent or too many are ended: uvicorn limits none of that by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""How long a request's head may take to arrive."""
HEAD_BYTES = 65_536
_MESSAGES = {
    400: ("Bad Request", "this is no HTTP request"),
    408: ("Request Timeout", "the request's head did not arrive in time"),
    431: ("Request Header Fields Too Large", f"a request's head has at most {HEAD_BYTES} bytes"),
    503: ("Service Unavailable", "there are too many connections; try again later"),
}


class Connection(HttpToolsProtocol):
    """A connection with limits on the heads of its requests.

    Attributes:
        most: How many connections there may be.
    """

    most = 1000
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: Any) -> None:
        """Takes a connection, or refuses it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(503)
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, as far as a head may be long."""
        if self.transport.is_closing():
            return
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # A body that came with its head is no part of it: the timer has stopped by then.
        if self._head_timer is not None and self._head_bytes > HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        """A request's first bytes are there."""
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The rest of the request is the application's to wait for."""
        self._head_arrived()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse(431)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Passes a part of the body on, if its request was not refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Passes the end on, if the request was not refused."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._refuse(400)

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that no request comes over, and one whose answer is not taken."""
        left = self.transport.get_write_buffer_size()
        if left and left == self._unsent:
            self.transport.abort()
        elif left:
            self._unsent = left
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answers for the application, and ends the connection."""
        self._head_arrived()
        reason, message = _MESSAGES[status]
        body = f'{{"error":{{"status":{status},"message":"{message}"}}}}'
        retry = "retry-after: 1\r\n" if status == 503 else ""
        self.transport.write(
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n{retry}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()
        )
        self.transport.close()
