"""How a campaign is told on a terminal: phase, trials, best so far, time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pawl.errors import printable

_REFRESH_PER_SECOND = 4


class TerminalProgress:
    """A listener that shows one line that is rewritten, and leaves one line per phase behind.

    Args:
        console: Where to write; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False, markup=False)
        self._started = time.monotonic()
        self._name = ""
        self._detail = ""
        self._state = ""
        self._live = Live(
            console=self.console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            get_renderable=self._row,
        )

    def __enter__(self) -> TerminalProgress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def phase(self, name: str, detail: str) -> None:
        """A phase has begun."""
        detail = printable(detail)
        if name != self._name or not self.console.is_terminal:
            text = Text.assemble((f"{self._clock():>6}  ", "dim"), f"{name}: {detail}")
            self.console.print(text, soft_wrap=True)  # one line each, also in a file
        self._name, self._detail = name, detail

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Shows how far it is."""
        parts = [f"{trials} trained"]
        if best is not None:
            parts.append(f"best {best:.5g}")
        if left is not None:
            parts.append(f"{max(0.0, left):.0f}s left")
        self._state = "  ".join(parts)

    def _row(self) -> Text:
        if not self._name:
            return Text()
        text = Text(f"{self._clock():>6}  ", no_wrap=True, overflow="ellipsis")
        if self._state:
            text.append(self._state, "bold").append("  ")
        return text.append(f"{self._name}: {self._detail}")

    def _clock(self) -> str:
        spent = int(time.monotonic() - self._started)
        return f"{spent // 60}:{spent % 60:02d}"
