"""Groups of channels: which go together, how many there are, and which have to stay as they are."""

from __future__ import annotations

import math

Segments = tuple[tuple[int, int], ...]
"""Groups along an axis, and for each channel of one how many neighbors stand for it."""


class Groups:
    """Groups by number, of which some have been joined.

    A group that was joined with others goes under the number of one of them (`root`).
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._fixed: dict[int, str] = {}
        self._multiples: dict[int, int] = {}
        self._compared: list[int] = []

    def new(self, size: int) -> int:
        """Returns a new group of so many channels."""
        self._parents.append(len(self._parents))
        self._sizes.append(size)
        return len(self._parents) - 1

    def root(self, group: int) -> int:
        """Returns the number under which a group goes with all that it was joined with."""
        while self._parents[group] != group:
            group = self._parents[group]
        return group

    def size(self, group: int) -> int:
        """Returns its channels."""
        return self._sizes[self.root(group)]

    def multiple(self, group: int) -> int:
        """Returns what its channels must be a multiple of."""
        return self._multiples.get(self.root(group), 1)

    def divide(self, group: int, number: int) -> None:
        """Demands that a number divides its channels."""
        self._multiples[self.root(group)] = math.lcm(self.multiple(group), number)

    def compare(self, segments: Segments) -> None:
        """Notes that a normalization compares these channels."""
        self._compared += [group for group, _ in segments]

    def compared(self, group: int) -> bool:
        """Tells whether one does: each channel must then be there as often as others."""
        return self.root(group) in {self.root(each) for each in self._compared}

    def fix(self, segments: Segments | None, reason: str) -> None:
        """Demands that these stay as they are."""
        for group, _ in segments or ():
            self._fixed.setdefault(self.root(group), reason)

    def fixed(self) -> dict[int, str]:
        """Returns the groups that have to stay, with the reason."""
        found: dict[int, str] = {}
        for number, reason in self._fixed.items():
            found.setdefault(self.root(number), reason)
        return found

    def join(self, one: Segments, other: Segments, reason: str) -> None:
        """Makes segments that lie beside each other the same groups; fixes what cannot be."""
        mine, theirs = ([(self.size(g), r) for g, r in each] for each in (one, other))
        if mine != theirs:
            self.fix(one, reason)
            self.fix(other, reason)
            return
        for (first, _), (second, _) in zip(one, other, strict=True):
            a, b = self.root(first), self.root(second)
            if a != b:
                both = math.lcm(self.multiple(a), self.multiple(b))
                self._parents[b] = a
                self._multiples[a] = both
