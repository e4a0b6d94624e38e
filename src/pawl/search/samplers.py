"""Which points to try next: random, TPE over all trials so far, or what a user registers.

A sampler holds no state between generations: each is seeded by the campaign's seed and the
generation's number and told the trials in the ledger, and so a resumed search asks the same.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from pawl import rng
from pawl.errors import PawlError, TaskError, did_you_mean, first_line
from pawl.search.space import Params

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


class Sampler(Protocol):
    """Proposes the points of one generation. Any object with these methods may be registered.

    It must propose the same points whenever it is made of the same space, seed and history: so a
    campaign that is resumed goes on as it would have.
    """

    def ask_structure(self) -> Params:
        """Returns the structural part of a new point: a value for each structural parameter."""

    def ask_members(self, structure: Params, count: int) -> list[Params]:
        """Returns whole points of one structure that differ in their memberwise settings."""


SamplerFactory = Callable[[Searchable, int, Sequence[TrialResult]], Sampler]
"""Makes a generation's sampler: what to sample from, a seed, and all trials so far in their order."""


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


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(
        seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_STARTUP_TRIALS
    )


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


_SAMPLERS: dict[str, SamplerFactory] = {
    "tpe": functools.partial(OptunaSampler, make=_tpe),
    "random": functools.partial(OptunaSampler, make=_random),
}


_SHIPPED = frozenset(_SAMPLERS)


class _Checked:
    """A sampler of the user's; what it raises or proposes wrongly ends the campaign in one line."""

    def __init__(
        self,
        name: str,
        factory: SamplerFactory,
        space: Searchable,
        seed: int,
        history: Sequence[TrialResult],
    ) -> None:
        self._name, self._space = name, space
        self._sampler: Sampler = self._ask(lambda: factory(space, seed, history))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except PawlError:
            raise
        except Exception as error:
            raise TaskError(
                f"the sampler {self._name!r} raised {type(error).__name__}: {first_line(error)}"
            ) from error

    def _check(self, point: object, names: Collection[str]) -> Params:
        if not isinstance(point, Mapping) or set(point) != set(names):
            got = sorted(point) if isinstance(point, Mapping) else type(point).__name__
            raise TaskError(
                f"the sampler {self._name!r} proposed {got}; it must propose values for {sorted(names)}"
            )
        for key, value in point.items():
            known = self._space.distributions[key]
            try:
                inside = known._contains(known.to_internal_repr(value))
            except (TypeError, ValueError):
                inside = False
            if not inside:
                raise TaskError(
                    f"the sampler {self._name!r} proposed {key}={value!r}; allowed is {known}"
                )
        return dict(point)

    def ask_structure(self) -> Params:
        point = self._ask(self._sampler.ask_structure)
        wanted = self._space.structure(dict.fromkeys(self._space.distributions))
        return self._check(point, wanted)

    def ask_members(self, structure: Params, count: int) -> list[Params]:
        points = self._ask(lambda: list(self._sampler.ask_members(structure, count)))
        found = [self._check(point, self._space.distributions) for point in points]
        same = all(self._space.structure(point) == structure for point in found)
        if len(found) != count or not same:
            raise TaskError(
                f"the sampler {self._name!r} proposed {len(found)} points for {count}"
                + ("" if same else ", not all of the structure that was asked for")
            )
        return found


def register_sampler(name: str, factory: SamplerFactory) -> None:
    """Adds a sampler of your own for this process; `--sampler NAME` then takes it.

    Raises:
        TaskError: The name is taken.
    """
    if name in _SAMPLERS:
        raise TaskError(f"a sampler named {name!r} exists already; give yours another name")
    _SAMPLERS[name] = functools.partial(_Checked, name, factory)


def unregister_sampler(name: str) -> None:
    """Takes a sampler that was registered out again; unknown names are ignored."""
    if name not in _SHIPPED:
        _SAMPLERS.pop(name, None)


def samplers() -> tuple[str, ...]:
    """Returns the names of all samplers."""
    return tuple(sorted(_SAMPLERS))


def check_sampler(name: str) -> None:
    """Refuses a name that no sampler has.

    Raises:
        TaskError: There is none of it.
    """
    if name not in _SAMPLERS:
        raise TaskError(
            f"unknown sampler {name!r}{did_you_mean(name, samplers())}; there are: "
            f"{', '.join(samplers())}"
        )


def make_sampler(
    name: str, space: Searchable, seed: int, generation: int, history: Sequence[TrialResult]
) -> Sampler:
    """Returns a generation's sampler.

    Args:
        name: Of a sampler.
        space: What to sample from.
        seed: The campaign's.
        generation: Number of the generation.
        history: All trials so far, in the ledger's order.
    """
    check_sampler(name)
    return _SAMPLERS[name](space, rng.derive_seed("sampler", seed, generation), history)
