"""Which points to try next: what a sampler is, the shipped ones, and those that users register.

A sampler holds no state between generations: each is seeded by the campaign's seed and the
generation's number and told the trials in the ledger, and so a resumed search asks the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pawl import rng
from pawl.errors import PawlError, TaskError, first_line
from pawl.search.edits import EditSampler
from pawl.search.genetic import GeneticSampler
from pawl.search.grid import GridSampler
from pawl.search.named import Named
from pawl.search.numeric import NumericSampler, cma_es, gaussian_process
from pawl.search.optuna_sampler import OptunaSampler, random_search, tpe
from pawl.search.protocols import Params, Sampler, SamplerFactory, Searchable, TrialResult

_SAMPLERS: Named[SamplerFactory] = Named(
    "sampler",
    {
        "cma-es": functools.partial(NumericSampler, propose=cma_es),
        "edits": EditSampler,
        "genetic": GeneticSampler,
        "gp": functools.partial(NumericSampler, propose=gaussian_process),
        "grid": GridSampler,
        "tpe": functools.partial(OptunaSampler, make=tpe),
        "random": functools.partial(OptunaSampler, make=random_search),
    },
)


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

    def _check(self, point: object) -> Params:
        names = self._space.distributions
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

    def ask(self) -> Params | None:
        found = self._ask(self._sampler.ask)
        return None if found is None else self._check(found)

    def members(self, point: Params, count: int) -> Iterator[Params]:
        points = iter(self._ask(lambda: iter(self._sampler.members(point, count))))
        structure = self._space.structure(point)
        for number in range(count):
            found = self._ask(lambda: next(points, None))
            if found is None:
                raise TaskError(
                    f"the sampler {self._name!r} proposed {number} points where {count} were asked for"
                )
            found = self._check(found)
            if self._space.structure(found) != structure:
                raise TaskError(
                    f"the sampler {self._name!r} proposed a point of another structure than its first"
                )
            yield found


def register_sampler(name: str, factory: SamplerFactory) -> None:
    """Adds a sampler of your own for this process; `--search NAME` then takes it.

    Raises:
        TaskError: The name is taken.
    """
    _SAMPLERS.add(name, functools.partial(_Checked, name, factory))


def unregister_sampler(name: str) -> None:
    """Takes a sampler that was registered out again; unknown names are ignored."""
    _SAMPLERS.remove(name)


def samplers() -> tuple[str, ...]:
    """Returns the names of all samplers."""
    return _SAMPLERS.names


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
    return _SAMPLERS.get(name)(space, rng.derive_seed("sampler", seed, generation), history)
