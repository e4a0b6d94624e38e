"""The steps of a compression, one after the other; each is kept only if it is shown to be worth it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pawl.compression.candidate import Candidate
from pawl.compression.preferring import ORIGINAL, preferred
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
        self._trial, self._work, self._most = trial, trial.work, orders
        self._order, self._orders = "", {"": tuple(STEPS)}
        self._found = dict[tuple[int, str], list[Candidate] | str]()
        self._after = dict[tuple[int, str], int]()

    def run(self) -> None:
        """Runs all steps in order; then in other orders, as far as these could differ.

        With limits it ends where they are kept, and steps that train nothing are first taken alone: they
        lose least. If they are not enough, all are taken from the start. Without, what is left in the
        end is the best of all that was kept on the way (`preferring`).
        """
        began = time.monotonic()
        if self._work.limits is not None:
            if self._work.is_enough(self.tree.current.graph) or self._run(OF_THE_GRAPH):
                return
            self.tree.at = ORIGINAL
        self._order = self._promising()
        if self._run(self._orders[self._order]):
            return
        self._reorder(time.monotonic() - began)
        if self._work.limits is None:
            self._finish()

    def _promising(self) -> str:
        """Returns the order to begin with: whose first training proposes the better model.

        The first tests are the least strict ones, so what seems best comes first; no test has been made
        by then. Where one of them cannot start from the original, it is the usual order.
        """
        first, behind = MOVES[0]
        if self._most == 1 or self._work.limits is not None or self._work.left() is not None:
            return ""
        sooner = self._proposed(first[-1])
        if isinstance(sooner, str) or isinstance(later := self._proposed(behind), str):
            return ""
        last = {ORIGINAL: self.tree.original.graph, 0: later[-1].graph, 1: sooner[-1].graph}
        return self._moved("", first, behind) if preferred(self._work, last) == 1 else ""

    def _moved(self, order: str, first: Sequence[str], behind: str) -> str:
        """Returns the name of the order in which these steps are in front of another one."""
        steps = moved(self._orders[order], first, behind)
        if steps == self._orders[""]:
            return ""
        name = f"{first[-1]} before {behind}"
        self._orders[name] = steps
        return name

    def _reorder(self, seconds: float) -> None:
        """Tries other orders, whose models compete with the best so far.

        A step in front of one that was kept starts from another model than before; in front of one that
        was not, it would do the same again. Where it is not kept there, the order is given up: the rest
        would be as before. What is known of a step that starts from a model is not found out twice.

        Args:
            seconds: What the first order took; another one needs as many.
        """
        tree = self.tree
        best, order, tried = tree.at, self._order, 1
        for several, one in MOVES:
            if best == ORIGINAL or tried == self._most or self._is_late(seconds):
                break
            steps, first, back = self._orders[order], several, (one,)
            if steps.index(several[0]) < steps.index(one):
                first, back = back, first
            if not tree.steps(best).intersection(back):
                continue
            tried += 1
            tree.at, self._order = ORIGINAL, self._moved(order, first, back[0])
            names = self._orders[self._order]
            split = names.index(back[0])
            if self._run(names[:split]):
                return
            if tree.steps(tree.at).intersection(first):
                if self._run(names[split:]):
                    return
                if self._preferred((best, tree.at)) == tree.at:
                    best, order = tree.at, self._order
        tree.at = best

    def _finish(self) -> None:
        """Takes the best of all that was kept; goes on from there if others had been made of it.

        Their steps made it smaller, and slower by less than showed at once: what comes behind these may
        do without.
        """
        tree = self.tree
        for _ in STEPS:
            best = tree.at = self._preferred(range(len(tree.tried)))
            behind = {t.record.step for t in tree.tried if t.base == best and t.record.accepted}
            if best == ORIGINAL or not behind or self._is_late(0.0):
                return
            record = tree.tried[best].record
            self._order, steps = record.order, self._orders[record.order]
            self._run([n for n in steps[steps.index(record.step) + 1 :] if n not in behind])
            if tree.at == best:
                return
        tree.at = self._preferred(range(len(tree.tried)))

    def _preferred(self, places: Iterable[int]) -> int:
        """Returns the best of the models that were kept at these places, or the original's."""
        tree = self.tree
        kept = [at for at in places if at != ORIGINAL and tree.tried[at].record.accepted]
        graphs = {at: tree.made(at).graph for at in (ORIGINAL, *kept)}
        return preferred(self._work, graphs)

    def _is_late(self, seconds: float) -> bool:
        left = self._work.left()
        return left is not None and left < seconds

    def _run(self, names: Iterable[str]) -> bool:
        """Runs these steps; returns whether limits that there are were kept, upon which it stops."""
        tree = self.tree
        for name in names:
            start = tree.at, name
            if start in self._after:
                tree.at = self._after[start]
                continue
            found = self._proposed(name)
            if isinstance(found, str):
                record = StepRecord(name, "", accepted=False, reason=found, order=self._order)
                tree.tried.append(Tried(record))
            else:
                self._work.listener.phase(name, "what it gains and loses")
                if self._climbed(found):
                    return True
            self._after[start] = tree.at
        return False

    def _proposed(self, name: str) -> list[Candidate] | str:
        """Returns what a step makes of the model that is kept so far, or why nothing."""
        start = self.tree.at, name
        if start not in self._found:
            self._work.listener.phase(name, "candidates")
            try:
                self._found[start] = STEPS[name](self._work, self.tree.current)
            except PawlError as error:  # the other steps may do without
                self._found[start] = str(error)
        return self._found[start]

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
                if self._work.is_enough(tree.current.graph):
                    return True
            elif not tried.passed and tried.record.loss is not None:
                return False
        return False
