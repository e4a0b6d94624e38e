"""What each technique was measured to be worth, and how often a search therefore brings it in.

`effects.json` is written by `benchmarks/techniques.py`: the baseline with a technique at its defaults
against the baseline, paired, on real data of a modality.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from pawl.techniques.registry import technique

SUGGESTED, PROMISING, UNKNOWN = 3.0, 1.0, 0.3
"""Weights of what a diagnosis suggests, of what was shown to help elsewhere, and of all else."""


class Effect(NamedTuple):
    """One measurement.

    Attributes:
        data: The data set.
        modality: Of its inputs.
        metric: What is measured.
        baseline: The baseline's score.
        effect: The gain; positive is better whatever the metric.
        low: Lower end of its 95% interval.
        high: Upper end.
        pairs: How many pairs of models.
        cost: Seconds of a training over the baseline's.
    """

    data: str
    modality: str
    metric: str
    baseline: float
    effect: float
    low: float
    high: float
    pairs: int
    cost: float

    @property
    def gain(self) -> str:
        """The gain with its interval, in words."""
        return f"{self.effect:+.3g} ({self.low:+.3g} to {self.high:+.3g})"


@functools.cache
def effects() -> Mapping[str, tuple[Effect, ...]]:
    """Returns the measurements by technique."""
    text = files("pawl.techniques").joinpath("effects.json").read_text(encoding="utf-8")
    return {
        name: tuple(Effect(**one) for one in each)
        for name, each in json.loads(text)["effects"].items()
    }


def weight(name: str, modality: str) -> float:
    """Returns how often a search brings a technique in, relative to others.

    More often if it was shown to help somewhere and to harm nowhere, by measurements on the same
    modality, else on any. What was shown to harm comes in as often as what nothing is known of: at its
    defaults, alone and in a short training, a schedule or an augmentation harms which helps in company.
    What a user registers counts as what helps.

    Example:
        >>> 0.0 < weight("dropout", "table") <= 1.0
        True
    """
    if not technique(name).family:
        return PROMISING
    known = effects().get(name, ())
    mine = [one for one in known if one.modality == modality] or known
    helps = any(one.low > 0 for one in mine) and not any(one.high < 0 for one in mine)
    return PROMISING if helps else UNKNOWN
