"""The settings of a function: their ranges, read off a pydantic model or given one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, ValidationError

from pawl.errors import TaskError, did_you_mean
from pawl.search.grid import grid_values
from pawl.search.protocols import Params
from pawl.search.space import distribution_of
from pawl.task import FunctionTask

_FORMS = "(low, high), (low, high, 'log'), a list of choices, or one of optuna's distributions"
_PLAIN = (bool, int, float, str, type(None))


class FunctionSpace:
    """What a function's settings may be.

    Of a pydantic model, fields with lower and upper bounds, truth values and literals are searched; all
    others, and those whose `json_schema_extra` says `{"searched": False}`, keep their defaults.

    Args:
        task: The function and its settings.
        only: Names of the settings that may be changed; all by default.
        grids: Texts as in `depth=2,4,8`: the values of a grid.

    Attributes:
        distributions: Optuna's distributions by setting.
        baseline: What the search starts from and is compared with.
        off: Empty: nothing comes in or goes.
        conditions: Empty: every setting always counts.
        grids: The values of a grid by setting, where they were given.

    Raises:
        TaskError: A range or a default is missing or wrong.
    """

    def __init__(
        self, task: FunctionTask, only: tuple[str, ...] | None = None, grids: Sequence[str] = ()
    ) -> None:
        self._model: type[BaseModel] | None = None
        given = task.settings
        if isinstance(given, type) and issubclass(given, BaseModel):
            self._model = given
            found = {name: distribution_of(field) for name, field in given.model_fields.items()}
            every = {name: each for name, each in found.items() if each is not None}
        elif isinstance(given, Mapping):
            every = {str(name): _ranged(str(name), each) for name, each in given.items()}
        else:
            raise TaskError(
                f"got {given!r} as settings; give a pydantic model, or a mapping of names to {_FORMS}"
            )
        if not every:
            raise TaskError(
                "none of the settings has a range to search; give fields bounds (Field(ge=, le=)), or a "
                f"mapping of names to {_FORMS}"
            )
        for name in only or ():
            if name not in every:
                raise TaskError(
                    f"got the setting {name!r}{did_you_mean(name, every)}; those that are searched are "
                    f"{', '.join(every)}"
                )
        self.distributions: dict[str, BaseDistribution] = {
            name: each for name, each in every.items() if only is None or name in only
        }
        self.off: dict[str, Any] = {}
        self.conditions: dict[str, tuple[str, Any]] = {}
        self.grids = grid_values(grids, self.distributions)
        self.baseline: Params = self._baseline(every, task.baseline or {})

    def _baseline(self, every: Mapping[str, BaseDistribution], given: Mapping[str, Any]) -> Params:
        names = every if self._model is None else self._model.model_fields
        for name in given:
            if name not in names:
                raise TaskError(
                    f"the baseline has the setting {name!r}{did_you_mean(name, names)}; there are "
                    f"{', '.join(names)}"
                )
        if self._model is None:
            start = {name: _middle(each) for name, each in every.items()}
            start |= {k: v.item() if isinstance(v, np.generic) else v for k, v in given.items()}
        else:
            try:
                start = self._model(**given).model_dump(mode="json")
            except ValidationError as error:
                first = error.errors()[0]
                raise TaskError(
                    f"the setting {'.'.join(map(str, first['loc']))!r} cannot start from "
                    f"{first['input']!r} ({first['msg']}); give it another default, or name "
                    "it in the baseline"
                ) from None
        for name, each in self.distributions.items():
            if not each._contains(each.to_internal_repr(start[name])):
                raise TaskError(
                    f"the baseline has {name}={start[name]!r}, which is not in its range "
                    f"({_shown(each)})"
                )
        return start

    @property
    def start(self) -> Params:
        """The baseline's point."""
        return {name: self.baseline[name] for name in self.distributions}

    def settings(self, params: Params) -> Any:
        """Returns what the function gets: an instance of the model, or a dict."""
        whole = self.baseline | params
        return dict(whole) if self._model is None else self._model(**whole)

    def weight(self, name: str, value: object) -> float:
        """Returns 1: nothing is known of any value."""
        del name, value
        return 1.0

    def structure(self, params: Mapping[str, Any]) -> Params:
        """Returns nothing: runs share no structure."""
        return {}

    def effective(self, params: Mapping[str, Any]) -> str:
        """Returns one identifier for all: there is no structure."""
        return ""


def _ranged(name: str, given: Any) -> BaseDistribution:
    """Returns the distribution that a user's range stands for."""
    if isinstance(given, BaseDistribution):
        return given
    if isinstance(given, list) and len(given) > 1 and all(isinstance(x, _PLAIN) for x in given):
        return CategoricalDistribution(given)
    numbers = given[:2] if isinstance(given, tuple) else ()
    if len(numbers) == 2 and all(type(x) in (int, float) for x in numbers):
        log = given[2:] == ("log",)
        low, high = numbers
        if (log or len(given) == 2) and low < high and (low > 0 or not log):
            if all(type(x) is int for x in numbers):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(float(low), float(high), log=log)
    raise TaskError(f"got {given!r} as the range of {name!r}; allowed are {_FORMS}")


def _middle(given: BaseDistribution) -> Any:
    if isinstance(given, CategoricalDistribution):
        return given.choices[0]
    assert isinstance(given, IntDistribution | FloatDistribution)
    middle = (given.low * given.high) ** 0.5 if given.log else (given.low + given.high) / 2
    return round(middle) if isinstance(given, IntDistribution) else middle


def _shown(given: BaseDistribution) -> str:
    if isinstance(given, CategoricalDistribution):
        return ", ".join(map(repr, given.choices))
    assert isinstance(given, IntDistribution | FloatDistribution)
    return f"{given.low:g} to {given.high:g}"
