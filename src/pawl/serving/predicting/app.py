"""The application: predictions, and what says how the server is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pawl.data import Examples, Reading
from pawl.deployment import Bundle
from pawl.errors import BundleError
from pawl.options.serving import PredictionServerCall
from pawl.serving.predicting.answers import Answer, Predictor, as_csv, as_json, with_files
from pawl.serving.predicting.batching import Batcher
from pawl.serving.predicting.bodies import CSV, JSON, Bodies, GoneError, take
from pawl.serving.predicting.counters import Counters, memory
from pawl.serving.predicting.described import described
from pawl.serving.predicting.refusing import RefusedError
from pawl.serving.security import is_token

_log = logging.getLogger("uvicorn.error")
_BODIES = 16
"""Bodies of the largest size that may be held at once."""
_ROWS_AT_ONCE = 512
"""Answers with more rows are written in a thread."""
_GONE = 499  # as nginx counts it; nobody gets this answer
_HOME = (
    "POST /predict   rows to predictions; GET /schema says what rows and answers have\n"
    "GET  /schema    inputs, answers and limits, as JSON\n"
    "GET  /health    200 while it predicts\n"
    "GET  /metrics   counters, as Prometheus reads them\n"
)


def application(
    bundle: Bundle, options: PredictionServerCall, hosts: frozenset[str] | None = None
) -> Any:
    """Returns the application that serves a bundle's predictions.

    Args:
        bundle: What predicts.
        options: Limits, and the token that opens it.
        hosts: Values of the Host header that are served; all if `None`.
    """
    server = _Predictions(bundle, options)
    routes = [
        Route("/predict", server, methods=["POST"]),
        Route("/", lambda request: Response(_HOME, media_type="text/plain")),
        Route("/schema", server.schema),
        Route("/health", server.health),
        Route("/metrics", server.metrics),
    ]
    app = Starlette(
        routes=routes, lifespan=server.life, exception_handlers={HTTPException: _http_error}
    )
    return _Guard(app, hosts, options.token)


class _Guard:
    """Lets through what may ask, in front of every route and method.

    Args:
        app: What is behind it.
        hosts: That are served: a page elsewhere could make its own name point at this machine, and read
            what is served to it alone.
        token: That a request must have; none if `None`.
    """

    def __init__(self, app: Any, hosts: frozenset[str] | None, token: str | None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._refusal(scope["headers"]) if scope["type"] == "http" else None
        app = self._app if refusal is None else _refused(refusal)
        await app(scope, receive, send)

    def _refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> RefusedError | None:
        hosts, given = (
            [value.decode("latin-1") for key, value in headers if key == name]
            for name in (b"host", b"authorization")
        )
        if self._hosts is not None and (len(hosts) != 1 or hosts[0].lower() not in self._hosts):
            return RefusedError(421, "this host is not served here", closes=True)
        if self._token is None:
            return None
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        if scheme.lower() == "bearer" and is_token(token.strip(), self._token):
            return None
        return RefusedError(
            401, "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
            closes=True, challenge="Bearer",
        )  # fmt: skip


class _Predictions:
    """Answers requests for predictions, and says how it goes."""

    def __init__(self, bundle: Bundle, options: PredictionServerCall) -> None:
        self._bundle, self._options = bundle, options
        self._most, self._seconds = options.body_bytes, options.seconds
        self._counters = Counters()
        self._schema = described(bundle, options)
        self._started = time.time()
        self._held = 0
        self._busy = 0
        self._reader = ThreadPoolExecutor(1, "reading")
        self._bodies = Bodies(bundle.schema, options.max_rows, self._reader)
        self._batcher: Batcher | None = None

    @contextlib.asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        """Has its threads between begin and end."""
        options = self._options
        self._batcher = Batcher(
            Predictor(self._bundle),
            max_rows=options.max_batch if self._bundle.rows_are_apart else 1,
            max_wait=options.wait_seconds,
            max_queue=options.max_queue,
            observe=self._counters.computed,
        )
        yield
        self._batcher.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        started = time.perf_counter()
        self._busy += 1
        try:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            response = await self._answer(headers, receive)
        except RefusedError as refusal:
            response = _refused(refusal)
        except GoneError:
            self._counters.answered(_GONE, time.perf_counter() - started)
            return
        except BundleError as error:
            response = _refused(RefusedError(500, str(error)))
        except Exception:
            _log.exception("a request failed")
            response = _refused(
                RefusedError(500, "the server failed at this request; its log says why")
            )
        finally:
            self._busy -= 1
        self._counters.answered(response.status_code, time.perf_counter() - started)
        await response(scope, receive, send)

    async def _answer(self, headers: Mapping[str, str], receive: Any) -> Response:
        most, seconds = self._most, self._seconds
        if self._held > (_BODIES - 1) * most:
            raise RefusedError(
                503, "too much is being read already; try again later", retry_after=1
            )
        body = await take(headers, receive, most, seconds)
        self._held += len(body)
        try:
            async with asyncio.timeout(seconds):
                reading = await self._bodies.read(headers, body)
                answer = await self._predicted(reading.examples)
                return await self._response(
                    headers, with_files(answer, reading.examples.files), reading
                )
        except TimeoutError:
            assert self._batcher is not None
            raise RefusedError(
                503,
                f"no prediction within {seconds:g} seconds; try again later",
                retry_after=self._batcher.retry_after,
            ) from None
        finally:
            self._held -= len(body)

    async def _predicted(self, examples: Examples) -> Answer:
        assert self._batcher is not None
        answer: Answer = await self._batcher(examples, len(examples))
        return answer

    async def _response(
        self, headers: Mapping[str, str], answer: Answer, reading: Reading
    ) -> Response:
        csv = _prefers_csv(headers.get("accept", ""))

        def written() -> bytes:
            return as_csv(answer) if csv else as_json(answer, reading.notes)

        if len(reading.examples) > _ROWS_AT_ONCE:
            content = await asyncio.get_running_loop().run_in_executor(self._reader, written)
        else:
            content = written()
        return Response(content, media_type=f"{CSV}; charset=utf-8" if csv else JSON)

    async def schema(self, request: Request) -> Response:
        """Says what is taken and given."""
        return JSONResponse(self._schema)

    async def health(self, request: Request) -> Response:
        """Says whether it predicts."""
        well = self._batcher is not None and self._batcher.alive
        content = {
            "status": "ok" if well else "failing",
            "bundle": self._bundle.task.get("name"),
            "seconds": round(time.time() - self._started, 1),
        }
        return JSONResponse(content, status_code=200 if well else 503)

    async def metrics(self, request: Request) -> Response:
        """Returns the counters."""
        gauges: Sequence[tuple[str, str, float]] = (
            ("pawl_queue_rows", "Rows that wait.", self._batcher.queued if self._batcher else 0),
            ("pawl_requests_in_progress", "Requests for predictions in work.", self._busy),
            ("pawl_body_bytes", "Bytes of bodies that are held.", self._held),
            ("process_resident_memory_bytes", "Memory of the process.", memory()),
            ("process_start_time_seconds", "Start, in seconds since 1970.", self._started),
        )
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(self._counters.text(gauges), headers={"content-type": kind})


def _prefers_csv(accept: str) -> bool:
    """Whether CSV is named, and JSON is not."""
    named = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return CSV in named and JSON not in named


def _refused(refusal: RefusedError) -> Response:
    headers = {**refusal.headers, **({"Connection": "close"} if refusal.closes else {})}
    content = json.dumps({"error": refusal.content}, ensure_ascii=False).encode(
        errors="backslashreplace"
    )
    return Response(content, refusal.status, headers=headers, media_type=JSON)


async def _http_error(request: Request, error: Exception) -> Response:
    """Answers what has no route."""
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "")
    message = f"there is no {request.url.path[:80]!r} here; GET / says what there is"
    if error.status_code == 405:
        message = f"got {request.method}; allowed is {allowed}"
    response = _refused(RefusedError(error.status_code, message))
    if allowed:
        response.headers["Allow"] = allowed
    return response
