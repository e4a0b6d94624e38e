"""The steps of a compression, one after the other; each is kept only if it is shown to be worth it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pawl.compression.candidate import Candidate
from pawl.compression.result import StepRecord
from pawl.compression.steps import MOVES, OF_THE_GRAPH, STEPS, moved
from pawl.compression.tree import Tree, Tried
from pawl.compression.trying import Trial
from pawl.errors import PawlError


class Chain:
    """Runs the steps.

    Args:
        trial: Tries candidates.
        original: The bundle's model.
        orders: How many orders of steps are tried at most.

    Attributes:
        tree: All that was tried, and what is kept so far.
    """

    def __init__(self, trial: Trial, original: Candidate, orders: int = 1) -> None:
        self.tree = Tree(original)
        self._trial, self._work, self._orders = trial, trial.work, orders
        self._order, self._after = "", dict[tuple[int, str], int]()

    def run(self) -> None:
        """Runs all steps in order; then in other orders, as far as these could differ.

        With limits it ends where they are kept, and steps that train nothing are first taken alone: they
        lose least. If they are not enough, all are taken from the start.
        """
        began = time.monotonic()
        if self._work.limits is not None:
            if self._is_enough() or self._run(OF_THE_GRAPH):
                return
            self.tree.at = -1
        if not self._run(STEPS):
            self._reorder(time.monotonic() - began)

    def _reorder(self, seconds: float) -> None:
        """Tries other orders, which compete with the best so far by the rule that holds for steps.

        A step in front of one that was kept starts from another model than before; in front of one that
        was not, it would do the same again. Where it is not kept there, the order is given up: the rest
        would be as before. What is known of a step that starts from a model is not found out twice.

        Args:
            seconds: What the usual order took; another one needs as many.
        """
        tree = self.tree
        best, order, tried = tree.at, tuple(STEPS), 1
        for first, behind in MOVES:
            left = self._work.left()
            late = left is not None and left < seconds
            if late or tried == self._orders or behind not in tree.steps(best):
                continue
            tried += 1
            tree.at, self._order = -1, f"{first[-1]} before {behind}"
            names = moved(order, first, behind)
            split = names.index(behind)
            if self._run(names[:split]):
                return
            if tree.steps(tree.at).intersection(first):
                if self._run(names[split:]):
                    return
                gain = self._work.gain(tree.current.graph, tree.made(best).graph)
                if gain.is_worth(self._work.goals):
                    best, order = tree.at, names
        tree.at = best

    def _run(self, names: Iterable[str]) -> bool:
        """Runs these steps; returns whether limits that there are were kept, upon which it stops."""
        tree, listener = self.tree, self._work.listener
        for name in names:
            start = tree.at, name
            if start in self._after:
                tree.at = self._after[start]
                continue
            listener.phase(name, "candidates")
            try:
                found = STEPS[name](self._work, tree.current)
            except PawlError as error:  # the other steps may do without
                found = str(error)
            if isinstance(found, str):
                record = StepRecord(name, "", accepted=False, reason=found, order=self._order)
                tree.tried.append(Tried(record))
            else:
                listener.phase(name, "what it gains and loses")
                if self._climbed(found):
                    return True
            self._after[start] = tree.at
        return False

    def _climbed(self, found: Sequence[Candidate]) -> bool:
        """Tries a step's candidates in order, until one loses too much; the last one kept counts.

        Returns whether limits that there are were kept, upon which it stops.
        """
        tree, base = self.tree, self.tree.at
        for candidate in found:
            tried = self._trial.tried(candidate, tree.current, tree.lost_at_most, self._order)
            tree.tried.append(replace(tried, base=base))
            if tried.record.accepted:
                tree.at = len(tree.tried) - 1
                if self._work.limits is not None and self._is_enough():
                    return True
            elif not tried.passed and tried.record.loss is not None:
                return False
        return False

    def _is_enough(self) -> bool:
        return self._work.room(self.tree.current.graph) >= 1.0
