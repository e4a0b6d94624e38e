"""How a search goes, read of what `--search` says: a sampler, a scheduler, or both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pawl.errors import TaskError, did_you_mean, option
from pawl.recipe import Recipe
from pawl.search.grid import check_grid
from pawl.search.samplers import samplers
from pawl.search.schedulers import make_scheduler, schedulers
from pawl.search.space import Space
from pawl.techniques import Facts, technique


class Strategy(NamedTuple):
    """How a search proposes and prunes.

    Attributes:
        sampler: Name of a sampler.
        scheduler: Name of a scheduler.
        grid: Values of a grid.
        objectives: What is looked for at once; see `pawl.search.objectives`.
        most: Most parameters of a network.
        folds: Of the cross-validation that scores a trial; 1 for a single split.
    """

    sampler: str = "edits"
    scheduler: str = "halving"
    grid: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ("score",)
    most: int | None = None
    folds: int = 1

    @classmethod
    def of(cls, text: str, grid: Sequence[str] = (), *, prunes: bool = True) -> Strategy:
        """Returns what a text says; what it leaves out is the default.

        Args:
            text: Names with a comma between.
            grid: Values of a grid, as `pawl.search.grid.grid_values` reads them.
            prunes: Whether there are schedulers: a function is run to its end.

        Raises:
            TaskError: A name is unknown, there are two of a sort, or values for a grid that is none.

        Example:
            >>> Strategy.of("genetic,hyperband")[:2]
            ('genetic', 'hyperband')
            >>> Strategy.of("pbt").sampler
            'edits'
        """
        found: dict[str, str] = {}
        for name in (each.strip() for each in text.split(",")):
            sorts = ["sampler"] * (name in samplers())
            sorts += ["scheduler"] * (prunes and name in schedulers())
            if not sorts:
                every = (*samplers(), *(schedulers() if prunes else ()))
                hint = did_you_mean(name, every)
                kinds = f"samplers are {', '.join(samplers())}"
                kinds += f"; schedulers are {', '.join(schedulers())}" if prunes else ""
                raise TaskError(f"unknown search {name!r}{hint}; {kinds}")
            for sort in sorts:
                if sort in found:
                    raise TaskError(
                        f"got the search {text!r} with two {sort}s, {found[sort]} and {name}; give at "
                        "most one sampler and one scheduler, as in genetic,hyperband"
                    )
                found[sort] = name
        if grid and found.get("sampler") != "grid":
            raise TaskError(
                f"got values of a grid, {grid[0]!r}, for the search {text!r}; "
                f"give {option('search', 'grid')}"
            )
        return cls(found.get("sampler", "edits"), found.get("scheduler", "halving"), tuple(grid))

    def only(self, only: Collection[str] | None) -> Collection[str] | None:
        """Returns which techniques may come in or vary: of a grid those that its values name."""
        if only is not None or not self.grid:
            return only
        names = []
        for text in self.grid:
            name, _, values = text.partition("=")
            kind, _, what = name.strip().partition(":")
            if kind == "choose":
                names += [each.strip() for each in values.split(",")]
            else:
                names.append(what or kind.partition(".")[0])
        return tuple(dict.fromkeys(name for name in names if name != "none"))


def check_strategy(
    strategy: Strategy, start: Recipe, facts: Facts, only: Collection[str] | None
) -> None:
    """Refuses a strategy that cannot work on a task, before anything is trained.

    Raises:
        TaskError: A grid is too large or names what is not searched; a user's scheduler is wrong.
        RecipeError: A grid names a technique that there is not.
    """
    make_scheduler(strategy.scheduler, 0)
    if strategy.sampler != "grid":
        return
    for name in strategy.only(only) or ():
        technique(name)
    check_grid(Space(start, facts, strategy.only(only), strategy.grid))
