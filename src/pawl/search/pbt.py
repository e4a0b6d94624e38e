"""Population-based training: who falls behind goes on as a changed copy of one who is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pawl import rng
from pawl.recipe import Recipe
from pawl.techniques.changing import SCHEDULE, changeable, factor_at

_PERTURBED = (0.8, 1.25)


@dataclass(frozen=True)
class PopulationBased:
    """Population-based training of one generation, in one process.

    Eight times in a trial (`shares`), members that are among the worst quarter take over weights,
    buffers and optimizer state of one of the best quarter (exploit), and its settings, each times 0.8
    or 1.25, from then on (explore). What a member was trained by is so a schedule of settings; its
    recipe says all of it (`settings_schedule`), and that recipe, trained from the start, is what is
    confirmed and delivered.

    A generation has as many members as places, at least four where the quota allows: none is refilled.

    Reference: Jaderberg et al., "Population Based Training of Neural Networks", 2017 (truncation
    selection and perturbation).
    """

    shares: tuple[float, ...] = tuple(i / 8 for i in range(1, 8))
    portion: float = 0.25

    def configurations(self, quota: int, width: int) -> int:
        """Returns the places, or four."""
        return min(quota, max(4, width))

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        """Tells whether a score is not among the worst quarter of those seen."""
        worse = sum(other < score for other in seen)
        return worse >= max(1, int(self.portion * len(seen))) or score >= max(seen)

    def child(self, parent: Recipe, share: float, seed: int) -> Recipe:
        """Returns the parent's recipe with its settings perturbed from a share of the trial on."""
        random = np.random.default_rng(rng.derive_seed("explore", seed))
        before = list(parent.settings(SCHEDULE).changes) if SCHEDULE in parent else []  # type: ignore[attr-defined]
        fresh = []
        for technique, _ in parent:
            for key in sorted(changeable(technique)):
                name = f"{technique.name}.{key}"
                factor = factor_at(before, name, share) * _PERTURBED[int(random.integers(2))]
                fresh.append((share, name, round(factor, 6)))
        return parent.with_(SCHEDULE, changes=(*before, *fresh))


def parents(scores: dict[int, float], losers: Sequence[int], portion: float = 0.25) -> list[int]:
    """Returns those that losers may copy: the best quarter, at least one, best first.

    Example:
        >>> parents({0: 0.5, 1: 0.9, 2: 0.1, 3: 0.7}, losers=[2])
        [1]
    """
    able = [number for number in scores if number not in losers]
    able.sort(key=lambda number: (-scores[number], number))
    return able[: max(1, int(portion * len(scores)))]
