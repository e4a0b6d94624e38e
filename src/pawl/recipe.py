"""A recipe: which techniques, with which settings. Immutable, ordered, kept as TOML, comparable."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import tomli_w
from pydantic import ValidationError

from pawl.errors import RecipeError, did_you_mean
from pawl.techniques import (
    FitTechnique,
    ScheduleTechnique,
    Settings,
    Split,
    StopTechnique,
    Technique,
    UpdateTechnique,
    ordered,
    technique,
)

T = TypeVar("T", bound=Technique)


@dataclass(frozen=True)
class Change:
    """One difference between two recipes, named by the technique of the newer one.

    Attributes:
        name: The technique.
        kind: `added`, `changed` (other settings), `swapped` (another technique of its group; then
            `instead_of` names the older one) or `removed`.
        instead_of: See `kind`.
    """

    name: str
    kind: Literal["added", "changed", "swapped", "removed"]
    instead_of: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Techniques with settings, in the order in which they act.

    Build one with `Recipe.of(adamw={"learning_rate": 0.001}, standardize={})` or from TOML, where
    each technique is a table.

    Attributes:
        entries: Pairs of name and settings.

    Raises:
        RecipeError: An unknown technique or setting, a value out of range, techniques that exclude
            each other, or neither an optimizer nor a learner.
    """

    entries: tuple[tuple[str, Settings], ...]

    def __post_init__(self) -> None:
        by_name = dict(self.entries)
        order = ordered(technique(name) for name, _ in self.entries)
        if not any(isinstance(t, UpdateTechnique | FitTechnique) for t in order):
            raise RecipeError(
                "a recipe needs exactly one optimizer, this one has 0; `pawl techniques --stage update` "
                "lists them, and `--stage fit` what learns without one"
            )
        object.__setattr__(self, "entries", tuple((t.name, by_name[t.name]) for t in order))

    @classmethod
    def of(cls, **tables: Mapping[str, Any]) -> Recipe:
        """Returns the recipe with these techniques; each value maps settings to values."""
        return cls.from_dict(tables)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> Recipe:
        """Returns the recipe with these tables, one per technique."""
        return cls(tuple((name, _settings(name, values)) for name, values in tables.items()))

    @classmethod
    def from_toml(cls, text: str, *, source: str = "recipe") -> Recipe:
        """Returns the recipe written in TOML.

        Raises:
            RecipeError: It is no TOML, no recipe, or that of a blend; the message begins with `source`.
        """
        try:
            tables = tomllib.loads(text)
            if isinstance(tables.get("member"), list):
                count = len(tables["member"])
                several = "one recipe" if count == 1 else f"{count} recipes"
                raise RecipeError(
                    f"{source} holds the {several} of a blend; a recipe is one: give what stands below "
                    "one of them"
                )
            return cls.from_dict(tables)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{source} is not TOML: {error}") from None

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Returns the recipe in a TOML file.

        Raises:
            RecipeError: It cannot be read, or holds no recipe.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = "it is not UTF-8" if isinstance(error, ValueError) else error.strerror
            raise RecipeError(
                f"cannot read the recipe {str(path)!r} ({reason}); "
                "give a TOML file with one table per technique"
            ) from None
        return cls.from_toml(text, source=str(path))

    @classmethod
    def given(cls, recipe: object) -> Recipe:
        """Returns a recipe that is one, or the one in a TOML file.

        Raises:
            RecipeError: It is neither, or the file cannot be read or holds none.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, str | Path):
            return cls.read(recipe)
        raise RecipeError(f"got a recipe of type {type(recipe).__name__}; give a Recipe or a file")

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns one table per technique, in order."""
        return {name: settings.model_dump(mode="json") for name, settings in self.entries}

    def to_toml(self) -> str:
        """Returns the recipe as TOML; `from_toml` reads it back."""
        return tomli_w.dumps(self.to_dict())

    @functools.cached_property
    def id(self) -> str:
        """Twelve hex digits that name this recipe: equal for equal recipes."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @functools.cached_property
    def structure(self) -> str:
        """What all members of one fused population share: techniques and structural settings."""
        parts = {
            name: {
                key: value
                for key, value in settings.model_dump(mode="json").items()
                if key not in technique(name).memberwise
            }
            for name, settings in self.entries
        }
        return json.dumps(parts, sort_keys=True)

    def __iter__(self) -> Iterator[tuple[Technique, Settings]]:
        return ((technique(name), settings) for name, settings in self.entries)

    def __contains__(self, name: str) -> bool:
        return any(name == entry for entry, _ in self.entries)

    def of_stage(self, record: type[T]) -> tuple[tuple[T, Settings], ...]:
        """Returns the techniques of a stage, given the class of its records, in order."""
        return tuple((t, settings) for t, settings in self if isinstance(t, record))

    def settings(self, name: str) -> Settings:
        """Returns a technique's settings.

        Raises:
            RecipeError: The recipe does not have it.
        """
        for entry, settings in self.entries:
            if entry == name:
                return settings
        raise RecipeError(f"the recipe has no technique {name!r}")

    @property
    def optimizer(self) -> str:
        """Name of the update technique."""
        return self.of_stage(UpdateTechnique)[0][0].name

    @property
    def learner(self) -> FitTechnique | None:
        """What fits in one go, where that is how the recipe learns."""
        return next((t for t, _ in self.of_stage(FitTechnique)), None)

    @property
    def stops(self) -> bool:
        """Whether something in it looks at rows to stop by, or at their scores."""
        learner = self.learner
        if learner:
            return learner.stops
        watched = any(t.watched is not None for t, _ in self.of_stage(ScheduleTechnique))
        return watched or bool(self.of_stage(StopTechnique))

    @property
    def batch_size(self) -> int:
        """Rows of a training step (of fewer training rows: all of them)."""
        if "batch_size" not in self:
            return Split.batch_size
        return int(self.settings("batch_size").size)  # type: ignore[attr-defined]

    def with_(self, name: str, **values: Any) -> Recipe:
        """Returns the recipe with a technique added, or with these settings of it changed.

        A technique of the same group makes way.
        """
        new = technique(name)
        tables = self.to_dict()
        if name in tables:
            values = {**tables[name], **values}
        elif new.group is not None:
            tables = {n: v for n, v in tables.items() if technique(n).group != new.group}
        return Recipe.from_dict({**tables, name: values})

    def without(self, name: str) -> Recipe:
        """Returns the recipe without a technique."""
        return Recipe(tuple(entry for entry in self.entries if entry[0] != name))

    def changes(self, older: Recipe) -> tuple[Change, ...]:
        """Returns what differs from an older recipe, in order of action."""
        mine, theirs = dict(self.entries), dict(older.entries)
        groups = {technique(n).group: n for n in theirs if n not in mine and technique(n).group}
        found: list[Change] = []
        swapped: set[str] = set()
        for name, settings in mine.items():
            if name in theirs:
                if settings != theirs[name]:
                    found.append(Change(name, "changed"))
            elif (group := technique(name).group) in groups:
                swapped.add(groups[group])
                found.append(Change(name, "swapped", groups[group]))
            else:
                found.append(Change(name, "added"))
        found += [Change(n, "removed") for n in theirs if n not in mine and n not in swapped]
        return tuple(found)

    def revert(self, change: Change, older: Recipe) -> Recipe:
        """Returns this recipe with one change from `older` undone."""
        tables = dict(self.entries)
        tables.pop(change.name, None)
        restored = change.instead_of or change.name
        if change.kind != "added":
            tables[restored] = older.settings(restored)
        return Recipe(tuple(tables.items()))

    def describe(self, older: Recipe) -> str:
        """Returns in one line what differs from an older recipe."""
        parts = []
        for change in self.changes(older):
            if change.kind == "removed" and self.learner:
                continue  # a learner has no use for it
            if change.kind == "removed":
                parts.append(f"no {change.name}")
                continue
            before = older.settings(change.name).model_dump() if change.kind == "changed" else {}
            shown = [
                _told(key, value)
                for key, value in self.settings(change.name).model_dump().items()
                if before.get(key, ()) != value
            ]
            parts.append(change.name + (f" ({', '.join(shown)})" if shown else ""))
        return "; ".join(parts) or "as the baseline"


def _told(key: str, value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} {key}"
    return f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"


def _settings(name: str, values: Any) -> Settings:
    model = technique(name).settings
    if not isinstance(values, Mapping):
        raise RecipeError(
            f"technique {name!r} must be a table of settings, got {values!r}; "
            f"write [{name}] and its settings below"
        )
    for key, field in model.model_fields.items():
        if field.annotation in (int, float) and isinstance(values.get(key), bool | str):
            raise RecipeError(  # pydantic would read a text as a number, and true as 1
                f"technique {name!r}, setting {key!r}: got {values[key]!r}; write a number"
            )
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        allowed = ", ".join(model.model_fields) or "none"
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(key, model.model_fields)
            message = f"technique {name!r} has no setting {key!r}{hint}; it has: {allowed}"
        else:
            wanted = first["msg"].replace("Input should", "it should", 1)
            wanted = wanted.removeprefix("Value error, ")
            message = f"technique {name!r}, setting {key!r}: got {first['input']!r}; {wanted}"
        raise RecipeError(message) from None
