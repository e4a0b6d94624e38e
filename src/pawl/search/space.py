"""The joint space of techniques and settings, read off the techniques' records.

Every parameter is always present, also where its technique is off, so that one sampler model covers
all recipes. Names: `use:dropout`, `choose:optimizer`, `dropout.rate`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic.fields import FieldInfo

from pawl.modalities import modality_of
from pawl.recipe import Recipe
from pawl.search.grid import grid_values
from pawl.search.protocols import Params
from pawl.techniques import Facts, Stage, Technique, excludes, refusal, techniques
from pawl.techniques.bounds import bounds
from pawl.techniques.measured import SUGGESTED, weight

_NONE = "none"


class Space:
    """What a campaign searches.

    What the baseline has is varied or swapped, never dropped; what it has not may come in. Only a stop
    technique may be dropped as well: a schedule that falls to zero wants its last steps. A field whose
    `json_schema_extra` says `{"searched": False}` keeps its value; of one that names `choices`, these
    are searched, the baseline's, and those of recipes that are tried first.

    Args:
        baseline: The recipe that the search starts from.
        facts: Of the task.
        only: Names of the techniques that may come in and whose settings are varied; all by default.
        grids: Texts as in `adamw.learning_rate=0.001,0.01`: the values of a grid.
        favored: Names of techniques that a diagnosis suggests: edits bring them in more often.
        first: Recipes that are tried first.

    Attributes:
        distributions: Optuna's distributions by parameter.
        structural: Parameters that all members of a fused population share.
        off: By parameter that brings a technique in: the value by which it is out.
        conditions: By parameter that counts only where another has a value: that one, and the value.
        grids: The values of a grid by parameter, where they were given.
        left_out: Techniques that do not fit, with the reason.

    Raises:
        TaskError: A grid's parameter is not searched, or a value is outside its range.
    """

    def __init__(
        self,
        baseline: Recipe,
        facts: Facts,
        only: Collection[str] | None = None,
        grids: Sequence[str] = (),
        favored: Collection[str] = (),
        first: Sequence[Recipe] = (),
    ) -> None:
        self.baseline = baseline
        self._known = (baseline, *first)
        self._favored = frozenset(favored)
        self._modality = modality_of(facts.schema).name
        self.left_out: dict[str, str] = {}
        self.techniques: list[Technique] = []
        for known in techniques():
            wanted = known.searched and (only is None or known.name in only)
            t = dataclasses.replace(known, searched=wanted)
            reason = refusal(t, facts) or (
                "" if t.searched or t.name in baseline else "not searched"
            )
            if reason:
                self.left_out[t.name] = reason
            else:
                self.techniques.append(t)
        self.distributions: dict[str, BaseDistribution] = {}
        self.structural: set[str] = set()
        self.off: dict[str, Any] = {}
        self.conditions: dict[str, tuple[str, Any]] = {}
        self._declare()
        self.grids = grid_values(grids, self.distributions)

    @functools.cached_property
    def start(self) -> Params:
        """The baseline's point."""
        return self.params(self.baseline)

    @functools.cached_property
    def groups(self) -> dict[str, list[str]]:
        """Names of the techniques of each group."""
        groups: dict[str, list[str]] = {}
        for t in self.techniques:
            if t.group is not None:
                groups.setdefault(t.group, []).append(t.name)
        return groups

    def _declare(self) -> None:
        for group, names in self.groups.items():
            optional = not any(name in self.baseline for name in names)
            choices = [_NONE, *names] if optional else names
            if len(choices) > 1:
                self._add(f"choose:{group}", CategoricalDistribution(choices), structural=True)
                if optional:
                    self.off[f"choose:{group}"] = _NONE
        for t in self.techniques:
            if t.group is None and self._optional(t):
                self._add(f"use:{t.name}", CategoricalDistribution([False, True]), structural=True)
                self.off[f"use:{t.name}"] = False
            for key in _searched(t):
                name = f"{t.name}.{key}"
                distribution = distribution_of(t.settings.model_fields[key])
                if isinstance(distribution, CategoricalDistribution):
                    own = [getattr(r.settings(t.name), key) for r in self._known if t.name in r]
                    every = dict.fromkeys((*distribution.choices, *own))
                    distribution = CategoricalDistribution(tuple(every))
                if distribution is None:
                    raise TypeError(f"setting {name} has no search space")
                self._add(name, distribution, structural=key not in t.memberwise)
                for switch, value in ((f"use:{t.name}", True), (f"choose:{t.group}", t.name)):
                    if switch in self.distributions:
                        self.conditions[name] = switch, value

    def _add(self, name: str, distribution: BaseDistribution, *, structural: bool) -> None:
        self.distributions[name] = distribution
        if structural:
            self.structural.add(name)

    def recipe(self, params: Mapping[str, Any]) -> Recipe:
        """Returns the recipe of a point; of two techniques that clash the less needed is left out."""
        chosen: dict[str, Technique] = {}
        for t in sorted(self.techniques, key=self._need):
            if t.group is None:
                on = params.get(f"use:{t.name}", t.name in self.baseline)
            else:
                only = self.groups[t.group][0]
                on = params.get(f"choose:{t.group}", only) == t.name
            if on and not any(excludes(t, other) for other in chosen.values()):
                chosen[t.name] = t
        return Recipe.from_dict({name: self._settings(t, params) for name, t in chosen.items()})

    def _need(self, t: Technique) -> int:
        """Returns a rank: groups that a recipe cannot be without, the baseline's, all others."""
        if t.group is not None and any(name in self.baseline for name in self.groups[t.group]):
            return 0
        return 1 if t.name in self.baseline else 2

    def _settings(self, t: Technique, params: Mapping[str, Any]) -> dict[str, Any]:
        fixed = self.baseline.settings(t.name) if t.name in self.baseline else t.settings()
        return fixed.model_dump() | {key: params[f"{t.name}.{key}"] for key in _searched(t)}

    def _optional(self, t: Technique) -> bool:
        return t.searched and (t.name not in self.baseline or t.stage is Stage.STOP)

    def params(self, recipe: Recipe) -> Params:
        """Returns the point of a recipe; settings of techniques that are off are their defaults."""
        params: Params = {}
        for group, names in self.groups.items():
            if f"choose:{group}" in self.distributions:
                params[f"choose:{group}"] = next((n for n in names if n in recipe), _NONE)
        for t in self.techniques:
            if f"use:{t.name}" in self.distributions:
                params[f"use:{t.name}"] = t.name in recipe
            settings = recipe.settings(t.name) if t.name in recipe else t.settings()
            for key in _searched(t):
                params[f"{t.name}.{key}"] = getattr(settings, key)
        return params

    def weight(self, name: str, value: object) -> float:
        """Returns how often an edit brings in what this value stands for; see `techniques.measured`."""
        kind, _, what = name.partition(":")
        if kind == "choose" and value != _NONE:
            what = str(value)
        elif kind != "use" or not value:
            return 1.0
        return SUGGESTED if what in self._favored else weight(what, self._modality)

    def structure(self, params: Mapping[str, Any]) -> Params:
        """Returns the structural part of a point."""
        return {name: value for name, value in params.items() if name in self.structural}

    def effective(self, params: Mapping[str, Any]) -> str:
        """Identifies what a point's structure does: settings of what is out don't count."""
        return self.recipe(params).structure


def _searched(t: Technique) -> list[str]:
    """Returns the settings of a technique that a search varies."""
    if not t.searched:
        return []
    fields = t.settings.model_fields.items()
    return [key for key, f in fields if _extra(f).get("searched", True)]


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def distribution_of(field: FieldInfo) -> BaseDistribution | None:
    """Returns the distribution that a field's type and bounds declare; `None` if they declare none."""
    if not _extra(field).get("searched", True):
        return None
    if choices := _extra(field).get("choices"):
        return CategoricalDistribution(choices)
    if get_origin(field.annotation) is Literal:
        return CategoricalDistribution(list(get_args(field.annotation)))
    if field.annotation is bool:
        return CategoricalDistribution([False, True])
    low, high = bounds(field)
    if low is None or high is None:
        return None
    log = bool(_extra(field).get("log"))
    if field.annotation is int:
        return IntDistribution(int(low), int(high), log=log)
    if field.annotation is float:
        return FloatDistribution(float(low), float(high), log=log)
    return None
