"""Heartbeats: how the outside stops work in its middle, past all handlers of what the work raises."""

from __future__ import annotations

from collections.abc import Callable


class _Stop(BaseException):
    """Carries what a heartbeat raised past `except Exception`."""

    def __init__(self, owner: PassedOn, reason: Exception) -> None:
        super().__init__()
        self.owner, self.reason = owner, reason


class PassedOn:
    """A block of work that takes what its heartbeat raises for what it is: no failure of the work.

    `with PassedOn(heartbeat) as beat:` gives a heartbeat whose exceptions no `except Exception`
    inside the block holds up; they leave the block as they were raised.

    Args:
        heartbeat: The heartbeat.
        but: Exceptions that the work itself looks out for.
    """

    def __init__(
        self, heartbeat: Callable[[], None], but: tuple[type[Exception], ...] = ()
    ) -> None:
        self._heartbeat, self._but = heartbeat, but

    def _beat(self) -> None:
        try:
            self._heartbeat()
        except self._but:
            raise
        except Exception as error:
            raise _Stop(self, error) from error

    def __enter__(self) -> Callable[[], None]:
        return self._beat

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _Stop) and error.owner is self:
            raise error.reason from None
