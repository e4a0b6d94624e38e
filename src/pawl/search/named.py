"""Factories by name: shipped ones, and those that users register for a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pawl.errors import TaskError, did_you_mean

Factory = TypeVar("Factory")


class Named(Generic[Factory]):
    """Factories of one sort.

    Args:
        what: The sort, as messages say it.
        shipped: Those that cannot be taken out.
    """

    def __init__(self, what: str, shipped: Mapping[str, Factory]) -> None:
        self._what = what
        self._shipped = frozenset(shipped)
        self._known = dict(shipped)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._known))

    def add(self, name: str, factory: Factory) -> None:
        """Adds one.

        Raises:
            TaskError: The name is taken.
        """
        if name in self._known:
            raise TaskError(
                f"a {self._what} named {name!r} exists already; give yours another name"
            )
        self._known[name] = factory

    def remove(self, name: str) -> None:
        """Takes one out again; unknown and shipped names are ignored."""
        if name not in self._shipped:
            self._known.pop(name, None)

    def get(self, name: str) -> Factory:
        """Returns one.

        Raises:
            TaskError: There is none of that name.
        """
        if name not in self._known:
            raise TaskError(
                f"unknown {self._what} {name!r}{did_you_mean(name, self.names)}; there are: "
                f"{', '.join(self.names)}"
            )
        return self._known[name]
