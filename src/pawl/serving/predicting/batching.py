"""Rows of several requests, computed together.

One thread computes. While it does, requests wait; what waits when it is done is its next batch. So one
request alone waits for nothing, and batches grow with the load.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pawl.serving.predicting.refusing import RefusedError


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A request's rows.

    Attributes:
        value: What is computed.
        rows: How many rows that is.
        since: When they came.
        result: Gets what was computed.
    """

    value: Any
    rows: int
    since: float
    result: asyncio.Future[Any]


class Batcher:
    """Computes what requests give, in batches. All but `compute` runs in the thread of the event loop.

    Args:
        compute: Gets the values of some requests and returns what each gets; runs in a thread.
        max_rows: Of a batch; a request with more is computed alone.
        max_wait: Seconds for which rows wait for others while nothing is computed.
        max_queue: Rows that may wait.
        observe: Is told rows, requests and seconds of each batch.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        max_rows: int,
        max_wait: float = 0.0,
        max_queue: int,
        observe: Callable[[int, int, float], None],
    ) -> None:
        self._compute, self._observe = compute, observe
        self._max_rows, self._max_wait, self._max_queue = max_rows, max_wait, max_queue
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._todo: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._busy = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._seconds_a_row = 0.0
        self.queued = 0
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    async def __call__(self, value: Any, rows: int) -> Any:
        """Returns what was computed of a request's rows.

        Raises:
            RefusedError: Too many rows wait already.
        """
        if self.queued and self.queued + rows > self._max_queue:
            raise RefusedError(
                503,
                f"{self.queued} rows wait already; at most {self._max_queue} may, try again later",
                retry_after=self.retry_after,
            )
        mine = _Waiting(value, rows, time.perf_counter(), self._loop.create_future())
        self._waiting.append(mine)
        self.queued += rows
        if not self._busy and self._timer is None:
            # Behind what else has arrived by now, which may have rows for the same batch.
            self._timer = self._loop.call_soon(self._start)
        return await mine.result

    @property
    def retry_after(self) -> int:
        """Seconds after which what waits now should be done, at least 1."""
        return max(1, min(60, round(self.queued * self._seconds_a_row)))

    @property
    def alive(self) -> bool:
        """Whether it still computes."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread behind what it computes."""
        self._todo.put(None)

    def _start(self) -> None:
        """Hands the next batch to the thread, or waits a little for more rows."""
        self._timer = None
        if self._busy:
            return
        while self._waiting and self._waiting[0].result.done():  # nobody waits any more
            self.queued -= self._waiting.popleft().rows
        if not self._waiting:
            return
        left = self._waiting[0].since + self._max_wait - time.perf_counter()
        if left > 0 and self.queued < self._max_rows:
            self._timer = self._loop.call_later(left, self._start)
            return
        self._busy = True
        self._todo.put(self._next())

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            each = self._waiting[0]
            if batch and rows + each.rows > self._max_rows:
                break
            self._waiting.popleft()
            self.queued -= each.rows
            if not each.result.done():
                batch.append(each)
                rows += each.rows
        return batch

    def _work(self) -> None:
        """The life of the thread."""
        while (batch := self._todo.get()) is not None:
            started = time.perf_counter()
            results: Sequence[Any]
            try:
                results = self._compute([each.value for each in batch])
            except Exception as error:
                results = [error] * len(batch)
            try:
                self._loop.call_soon_threadsafe(
                    self._done, batch, results, time.perf_counter() - started
                )
            except RuntimeError:  # the loop has ended
                return

    def _done(self, batch: list[_Waiting], results: Sequence[Any], seconds: float) -> None:
        self._busy = False
        rows = sum(each.rows for each in batch)
        self._seconds_a_row = seconds / rows
        self._observe(rows, len(batch), seconds)
        self._start()
        for each, result in zip(batch, results, strict=True):
            if each.result.done():
                continue
            if isinstance(result, Exception):
                each.result.set_exception(result)
            else:
                each.result.set_result(result)
