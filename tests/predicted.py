"""A server of predictions in a thread, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from pawl import Bundle
from pawl.options.serving import PredictionServerCall
from pawl.serving.listening import bound
from pawl.serving.predicting.server import server_of


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    bundle: Bundle
    port: int
    server: uvicorn.Server

    def ask(
        self,
        body: Any = None,
        kind: str = "application/json",
        path: str = "/predict",
        **headers: str,
    ) -> tuple[int, Any]:
        """Returns status and content of an answer; a body is sent as it is, or as JSON."""
        status, got, _ = self.ask_fully(body, kind, path, **headers)
        return status, got

    def ask_fully(
        self,
        body: Any = None,
        kind: str = "application/json",
        path: str = "/predict",
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        """Returns the headers, too."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, 60)) as link:
            if body is None:
                link.request("GET", path, headers=headers)
            else:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                link.request("POST", path, data, {"Content-Type": kind, **headers})
            answer = link.getresponse()
            text = answer.read()
            told = {name.lower(): value for name, value in answer.getheaders()}
        is_json = told["content-type"] == "application/json"
        return answer.status, json.loads(text) if is_json else text.decode(), told


@contextlib.contextmanager
def serving(folder: Path, **options: Any) -> Iterator[Served]:
    """Serves a bundle between begin and end."""
    call = PredictionServerCall(port=0, **options)
    bundle = Bundle.open(folder)
    with bound(call.host, call.port) as listening:
        server = server_of(bundle, call, listening)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Served(bundle, listening.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join()
