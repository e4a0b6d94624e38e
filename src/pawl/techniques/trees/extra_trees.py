"""Extremely randomized trees."""

from __future__ import annotations

import functools

from pawl.techniques.learning import fits_tables
from pawl.techniques.stages import FitTechnique
from pawl.techniques.trees._forests import ForestSettings, fit_forest, module

TECHNIQUE = FitTechnique(
    name="extra_trees",
    summary="A forest of trees whose thresholds are drawn at random.",
    reference="Geurts et al., Extremely Randomized Trees, Machine Learning 2006",
    apply=functools.partial(fit_forest, random_splits=True),
    module=module,
    settings=ForestSettings,
    fits=fits_tables,
    imports=("sklearn.ensemble",),
)
