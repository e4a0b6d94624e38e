"""Which points to try next: random, or TPE over all trials so far.

A sampler holds no state between generations: each is seeded by the campaign's seed and the
generation's number and told the trials in the ledger, and so a resumed search asks the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from pawl import rng
from pawl.search.space import Params

SamplerName = Literal["tpe", "random"]
_STARTUP_TRIALS = 12


@dataclass(frozen=True)
class TrialResult:
    """A finished trial as a sampler sees it.

    Attributes:
        params: Its point.
        score: Its score, larger is better; `None` if it failed.
        rung: Evaluations it had when it was pruned; `None` if it ran to its end.
    """

    params: Params
    score: float | None
    rung: int | None


class Searchable(Protocol):
    """What a sampler needs to know of a space."""

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distributions by parameter."""

    def structure(self, params: Mapping[str, Any]) -> Params:
        """Returns the part of a point that members of one generation share."""


class Sampler:
    """Asks for one generation's points.

    Args:
        space: What to sample from.
        name: `tpe` or `random`.
        seed: The campaign's.
        generation: Number of the generation.
        history: All trials so far, in the ledger's order.
    """

    def __init__(
        self,
        space: Searchable,
        name: SamplerName,
        seed: int,
        generation: int,
        history: Sequence[TrialResult],
    ) -> None:
        self.space = space
        self.name = name
        self.seed = rng.derive_seed("sampler", seed, generation)
        self._asked = 0
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="maximize")
        for told in history:
            self.study.add_trial(self._frozen(told))

    def _frozen(self, told: TrialResult) -> optuna.trial.FrozenTrial:
        state, values = TrialState.COMPLETE, {}
        if told.score is None or told.rung is not None:
            state = TrialState.PRUNED
            values = {} if told.score is None else {told.rung or 0: told.score}
        return optuna.trial.create_trial(
            state=state,
            value=told.score if state is TrialState.COMPLETE else None,
            params=told.params,
            distributions=self.space.distributions,
            intermediate_values=values,
        )

    def _sampler(self) -> BaseSampler:
        self._asked += 1
        seed = rng.derive_seed(self.seed, self._asked)
        if self.name == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_STARTUP_TRIALS
            )

    def ask_structure(self) -> Params:
        """Returns the structural part of a new point."""
        self.study.sampler = self._sampler()
        trial = self.study.ask(self.space.distributions)
        # Only its structure is used; a trial that never ends would weigh on the sampler.
        self.study.tell(trial, state=TrialState.FAIL)
        return self.space.structure(trial.params)

    def ask_members(self, structure: Params, count: int) -> list[Params]:
        """Returns points of one structure that differ in their memberwise settings."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.sampler = PartialFixedSampler(structure, self._sampler())
        points = []
        for _ in range(count):
            trial = self.study.ask(self.space.distributions)
            points.append(dict(trial.params))
        return points
