"""Optuna's samplers, as samplers of generations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import optuna
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from pawl import rng
from pawl.search.protocols import Params, Searchable, TrialResult

_STARTUP_TRIALS = 12


class OptunaSampler:
    """A sampler of Optuna's.

    Args:
        space: What to sample from.
        seed: Of the generation.
        history: All trials so far, in the ledger's order.
        make: Makes the sampler, given a seed; it is made anew for each question.

    Example:
        >>> import pawl
        >>> from optuna.samplers import QMCSampler
        >>> from pawl.search import OptunaSampler
        >>> pawl.register_sampler(
        ...     "qmc",
        ...     lambda space, seed, history: OptunaSampler(
        ...         space, seed, history, make=lambda seed: QMCSampler(seed=seed)
        ...     ),
        ... )
    """

    def __init__(
        self,
        space: Searchable,
        seed: int,
        history: Sequence[TrialResult],
        *,
        make: Callable[[int], BaseSampler],
    ) -> None:
        self.space = space
        self.seed = seed
        self._make = make
        self._asked = 0
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="maximize")
        for result in history:
            self.study.add_trial(self._frozen(result))

    def _frozen(self, result: TrialResult) -> optuna.trial.FrozenTrial:
        state, values = TrialState.COMPLETE, {}
        if result.score is None or result.rung is not None:
            state = TrialState.PRUNED
            values = {} if result.score is None else {result.rung or 0: result.score}
        return optuna.trial.create_trial(
            state=state,
            value=result.score if state is TrialState.COMPLETE else None,
            params=result.params,
            distributions=self.space.distributions,
            intermediate_values=values,
        )

    def _sampler(self) -> BaseSampler:
        self._asked += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._make(rng.derive_seed(self.seed, self._asked))

    def ask(self) -> Params:
        """Returns a new point."""
        self.study.sampler = self._sampler()
        return dict(self.study.ask(self.space.distributions).params)

    def members(self, point: Params, count: int) -> Iterator[Params]:
        """Yields more points of a structure, drawn with those that were proposed before in mind."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = PartialFixedSampler(self.space.structure(point), self._sampler())
        for _ in range(count):
            self.study.sampler = sampler
            yield dict(self.study.ask(self.space.distributions).params)


def tpe(seed: int) -> BaseSampler:
    """Returns Optuna's tree-structured Parzen estimator, as generations need it."""
    return TPESampler(
        seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_STARTUP_TRIALS
    )


def random_search(seed: int) -> BaseSampler:
    """Returns Optuna's random sampler."""
    return RandomSampler(seed=seed)
