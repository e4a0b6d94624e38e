"""Where the workers of a generation meet: members are compared at rungs, and free places filled.

The board lives in the process that started the workers, which ask it between two segments. All
scores of a generation are on it, so that how hard halving prunes does not depend on how many workers
there are.

In lock-step, what happens after the same number of steps is decided together and in the order of
steps, as if all members were in one population; so no clock decides anything. Otherwise an answer
comes at once, from the scores seen so far, and no worker waits for a slower one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pawl.search.protocols import Params
from pawl.search.schedulers import Halving, Scheduler, child_of

_HALVING = Halving()


@dataclass
class Rungs:
    """Scores seen at each rung, over one generation.

    Attributes:
        scheduler: Decides by them who goes on.
        seen: Scores by rung and configuration, larger is better.
    """

    scheduler: Scheduler
    seen: dict[int, dict[int, float]] = field(default_factory=dict)

    def add(self, rung: int, configuration: int, score: float) -> None:
        """Notes a score at a rung; one that is trained again has its score once."""
        self.seen.setdefault(rung, {})[configuration] = score

    def goes_on(self, rung: int, score: float) -> bool:
        """Tells whether a member with such a score at the rung goes on."""
        return self.scheduler.goes_on(rung, score, tuple(self.seen[rung].values()))


@dataclass(frozen=True)
class Report:
    """What a worker tells between two segments.

    Attributes:
        step: Steps that its population has taken in this generation.
        following: The step at which the members that stay are next evaluated.
        reached: By configuration, the rung that it has just reached, and its score there.
        free: Places to fill beside those of members that are pruned now; below zero, so many
            configurations wait for a place already.
        staying: Members that stay unless they are pruned now.
    """

    step: int
    following: int
    reached: dict[int, tuple[int, float]] = field(default_factory=dict)
    free: int = 0
    staying: int = 0


@dataclass(frozen=True)
class Answer:
    """Which of the configurations are pruned, and new ones by number."""

    pruned: frozenset[int] = frozenset()
    fresh: tuple[tuple[int, Params], ...] = ()


class Board:
    """The desk of one generation's workers; see `pawl.execution.executors.Desk`.

    Points are drawn in the background while the workers train. To be closed, or used in a `with`.

    Args:
        points: The generation's points.
        workers: How many workers will ask, numbered from zero.
        lockstep: Whether workers wait for each other.
        scheduler: Decides at rungs who goes on; who does not frees a place, unless it goes on as
            another's child.

    Attributes:
        dealt: By worker, the points that it got, by number.
    """

    def __init__(
        self,
        points: Iterable[Params],
        workers: int = 1,
        *,
        lockstep: bool,
        scheduler: Scheduler = _HALVING,
    ) -> None:
        self.lockstep = lockstep
        self.dealt: list[dict[int, Params]] = [{} for _ in range(workers)]
        self._points = enumerate(points)
        self._rungs = Rungs(scheduler)
        self._frees = child_of(scheduler) is None
        self._next = dict.fromkeys(range(workers), 0)  # no worker reports an earlier step
        self._waiting: dict[int, Report] = {}
        self._pool = ThreadPoolExecutor(1)  # its thread starts at the first answer, after all forks
        self._drawn: Future[list[tuple[int, Params]]] | None = None
        self._ahead = 0

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the drawing of points."""
        self._pool.shutdown()

    def ask(self, piece: int, question: Report) -> dict[int, Answer]:
        """Takes a worker's report; returns the answers that are ready now, by worker."""
        if not question.reached and question.free <= 0:  # nothing to decide
            self._next[piece] = question.following
            return {piece: Answer(), **self._settled()}
        self._next[piece] = question.step
        self._waiting[piece] = question
        return self._settled()

    def leave(self, piece: int) -> dict[int, Answer]:
        """Told that a worker has ended, however; returns the answers that are ready now."""
        self._next.pop(piece, None)
        self._waiting.pop(piece, None)
        return self._settled()

    def _settled(self) -> dict[int, Answer]:
        """Decides everything that nothing earlier can come before any more."""
        answers: dict[int, Answer] = {}
        while self._waiting:
            step = min(report.step for report in self._waiting.values())
            running = [s for piece, s in self._next.items() if piece not in self._waiting]
            if self.lockstep and any(first <= step for first in running):
                break
            ready = sorted(
                piece
                for piece, report in self._waiting.items()
                if report.step == step or not self.lockstep
            )
            answers |= self._decided({piece: self._waiting.pop(piece) for piece in ready})
        return answers

    def _decided(self, reports: dict[int, Report]) -> dict[int, Answer]:
        for report in reports.values():
            for configuration, (rung, score) in report.reached.items():
                self._rungs.add(rung, configuration, score)
        pruned = {
            piece: frozenset(
                configuration
                for configuration, (rung, score) in report.reached.items()
                if not self._rungs.goes_on(rung, score)
            )
            for piece, report in reports.items()
        }
        gone = {piece: len(found) if self._frees else 0 for piece, found in pruned.items()}
        free = {piece: max(0, r.free + gone[piece]) for piece, r in reports.items()}
        staying = {piece: r.staying - gone[piece] for piece, r in reports.items()}
        fresh: dict[int, list[tuple[int, Params]]] = {piece: [] for piece in reports}
        for number, point in self._take(sum(free.values())):
            piece = min((p for p in free if free[p]), key=lambda p: (staying[p], p))
            fresh[piece].append((number, point))
            self.dealt[piece][number] = point
            free[piece] -= 1
            staying[piece] += 1
        for piece, report in reports.items():
            # When new members are evaluated their worker will tell.
            self._next[piece] = report.step + 1 if fresh[piece] else report.following
        return {piece: Answer(pruned[piece], tuple(fresh[piece])) for piece in reports}

    def _take(self, count: int) -> list[tuple[int, Params]]:
        """Returns the next points, at most `count`, and has as many drawn as may be wanted next."""
        if count <= 0:
            return []
        self._ahead = max(self._ahead, count)
        drawn = _filled(self._drawn.result() if self._drawn else [], self._points, count)
        self._drawn = self._pool.submit(_filled, drawn[count:], self._points, self._ahead)
        return drawn[:count]


def _filled(
    drawn: list[tuple[int, Params]], points: Iterator[tuple[int, Params]], count: int
) -> list[tuple[int, Params]]:
    """Returns drawn points, and more until there are `count`."""
    return [*drawn, *itertools.islice(points, max(0, count - len(drawn)))]
