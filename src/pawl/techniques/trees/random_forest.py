"""A random forest."""

from __future__ import annotations

import functools

from pawl.techniques.learning import fits_tables
from pawl.techniques.stages import FitTechnique
from pawl.techniques.trees._forests import ForestSettings, fit_forest, module

TECHNIQUE = FitTechnique(
    name="random_forest",
    summary="A forest of trees, each grown on rows drawn with replacement.",
    reference="Breiman, Random Forests, Machine Learning 2001",
    apply=functools.partial(fit_forest, random_splits=False),
    module=module,
    settings=ForestSettings,
    fits=fits_tables,
    imports=("sklearn.ensemble",),
)
