"""Who may ask: this machine's browser, with the token that was printed, from the page itself.

In front of every route and method, whatever they do:

- the request names a host that is served (else a foreign name that was made to point here, DNS
  rebinding, could read it),
- a request that a page makes comes from these pages (Origin; what changes something must say it),
- it has the token: once in the address that was printed, from then on in a cookie that scripts cannot
  read and other sites' pages do not send.

Every answer forbids the browser to load or run anything that is not served here.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response

TOKEN_BYTES = 32
_SAFE = {"GET", "HEAD"}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_POLICY = "; ".join(f"{name} {value}" for name, value in _POLICY.items())
FILE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""Of a file that a campaign left: it may look as it does, and do nothing."""
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: forms would then say that they come from nowhere.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_REFUSED = {
    400: "The request names no host.",
    401: "The token is missing or wrong. Open the address that pawl serve printed.",
    403: "The request comes from another site.",
    421: "This host is not served here.",
}


def new_token() -> str:
    """Returns a secret that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_token(given: str | None, token: str) -> bool:
    """Tells whether what was given is the token, in the same time whatever it is."""
    return given is not None and secrets.compare_digest(given.encode(), token.encode())


@dataclass(frozen=True)
class Access:
    """What opens the pages.

    Attributes:
        hosts: Values of the Host header that are served.
        token: The secret.
        cookie: The cookie's name; cookies are shared by all ports of a host, so it has the port.
    """

    hosts: frozenset[str]
    cookie: str
    token: str = field(default_factory=new_token, repr=False)

    @classmethod
    def of(cls, host: str, port: int) -> Access:
        """Returns the access to a server that listens at an address.

        >>> sorted(Access.of("127.0.0.1", 8000).hosts)
        ['127.0.0.1:8000', '[::1]:8000', 'localhost:8000']
        """
        names = {"localhost", "127.0.0.1", "[::1]"}
        if not is_loopback(host):
            names |= _names_of(host)
        return cls(frozenset(f"{name}:{port}".lower() for name in names), f"pawl-{port}")

    def admits(self, given: str | None) -> bool:
        """Tells whether a token is the right one, in the same time whatever it is."""
        return is_token(given, self.token)


def is_loopback(host: str) -> bool:
    """Tells whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names_of(host: str) -> set[str]:
    """Returns the names under which others reach an address; of all addresses, this machine's."""
    if host not in ("0.0.0.0", "::", ""):
        return {f"[{host}]" if ":" in host else host}
    own = socket.gethostname()
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(own, None)}
    except OSError:
        found = set()
    return {own, *(f"[{address}]" if ":" in address else address for address in found)}


class Guard:
    """Lets through what may ask, and puts the headers on every answer.

    Args:
        app: What is behind it.
        access: What opens it.
    """

    def __init__(self, app: Any, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no other protocol is spoken
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Any) -> Response | None:
        """Returns what is answered in place of what was asked for; `None` lets it through."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return _refuse(400)
        if hosts[0].lower() not in self._access.hosts:
            return _refuse(421)
        origins, safe = headers.getlist("origin"), scope["method"] in _SAFE
        expected = f"{scope.get('scheme', 'http')}://{hosts[0]}".lower()
        if any(origin.lower() != expected for origin in origins) or not (safe or origins):
            return _refuse(403)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refuse(403)
        return self._opened(scope, headers.getlist("cookie"), scope["method"] == "GET")

    def _opened(self, scope: Any, cookies: Iterable[str], first: bool) -> Response | None:
        access = self._access
        for line in cookies:
            if access.admits(cookie_parser(line).get(access.cookie)):
                return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if not (first and scope["path"] == "/" and access.admits(query.get("token", [None])[0])):
            return _refuse(401)
        answer = RedirectResponse("/", status_code=303)  # the token leaves the address
        answer.set_cookie(access.cookie, access.token, httponly=True, samesite="strict", path="/")
        return answer


def _refuse(status: int) -> Response:
    return PlainTextResponse(f"{_REFUSED[status]}\n", status_code=status)
