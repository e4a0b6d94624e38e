"""How a user's rows are to be read, where reading them alone would not tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, cast

from pawl.errors import TaskError, did_you_mean

ColumnKind = Literal["numeric", "boolean", "date", "categorical"]
Rare = Literal["drop", "merge"]

COLUMN_KINDS: tuple[ColumnKind, ...] = ("numeric", "boolean", "date", "categorical")
DATE_ORDERS = ("ymd", "dmy", "mdy")
_DECIMALS = (".", ",")
_RARE = ("drop", "merge")
_SPELLED = {"tab": "\t", "\\t": "\t"}


class Reading(TypedDict, total=False):
    """The keywords of `ReadOptions`, for functions that pass them on."""

    separator: str | None
    decimal: str | None
    encoding: str | None
    date_format: str | None
    ignore: Iterable[str] | None
    types: Mapping[str, str] | Iterable[str] | None
    rare: str | None
    positive: str | None


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How rows are read; what is left out is told from the rows themselves.

    Attributes:
        separator: What separates the cells of a CSV file: one character, or `tab`.
        decimal: The decimal mark of numbers written as text: `.` or `,`.
        encoding: A CSV file's encoding, as Python names it: `utf-8`, `cp1252`, `utf-16`, ...
        date_format: How dates are written: `ymd`, `dmy` or `mdy` for the order of year, month and
            day, or a format such as `%d %b %Y`.
        ignore: Columns to leave out.
        types: What columns are, whatever they look like: name and `numeric`, `boolean`, `date` or
            `categorical`. Given as a mapping, or as texts `COLUMN=KIND`.
        rare: What becomes of classes with too few rows: `drop` leaves their rows out, `merge` makes
            one class of them. They are refused by default.
        positive: Of two classes, the one that counts as positive; by default the second in order.

    Raises:
        TaskError: If one of them is none that is allowed.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    date_format: str | None = None
    ignore: tuple[str, ...] = ()
    types: tuple[tuple[str, ColumnKind], ...] = ()
    rare: Rare | None = None
    positive: str | None = None

    def __post_init__(self) -> None:
        """Brings what was given into one form, and checks it."""
        ignored: Any = self.ignore or ()
        names = (ignored,) if isinstance(ignored, str) else ignored
        object.__setattr__(self, "ignore", tuple(dict.fromkeys(str(name) for name in names)))
        object.__setattr__(self, "types", _pairs(self.types or ()))
        if self.positive is not None:
            object.__setattr__(self, "positive", str(self.positive))
        _check_choice("decimal", self.decimal, _DECIMALS)
        _check_choice("rare", self.rare, _RARE)
        if self.separator is not None and (
            len(self.mark) != 1 or self.mark in '"\r\n\0' or self.mark.isalnum()
        ):
            raise TaskError(
                f"got the separator {self.separator!r}; allowed is one character that cells do not "
                "hold, such as ';', or tab"
            )
        if self.separator is not None and self.mark == self.decimal:
            raise TaskError(
                f"the separator and the decimal mark are both {self.decimal!r}; one character "
                "cannot be both"
            )
        _check_dates(self.date_format)

    @property
    def mark(self) -> str:
        """The separator's character, empty if none was given."""
        return _SPELLED.get(self.separator or "", self.separator or "")

    def given(self) -> dict[str, Any]:
        """What was given, JSON-ready: `ReadOptions(**options.given())` are the same options."""
        values: dict[str, Any] = dataclasses.asdict(self)
        values["ignore"] = list(self.ignore)
        values["types"] = [f"{name}={kind}" for name, kind in self.types]
        return {name: value for name, value in values.items() if value}


READ_OPTIONS = tuple(field.name for field in dataclasses.fields(ReadOptions))


def _pairs(types: Any) -> tuple[tuple[str, ColumnKind], ...]:
    if isinstance(types, str):
        types = (types,)
    pairs: dict[str, ColumnKind] = {}
    for item in types.items() if isinstance(types, Mapping) else types:
        name, equals, kind = (
            item.rpartition("=") if isinstance(item, str) else (item[0], "=", item[1])
        )
        if not equals:
            raise TaskError(f"got the type {item!r}; allowed is COLUMN=KIND, as in zip=categorical")
        _check_choice(f"type of column {str(name)!r}", kind, COLUMN_KINDS)
        pairs[str(name)] = cast(ColumnKind, kind)
    return tuple(pairs.items())


def _check_choice(what: str, got: str | None, allowed: tuple[str, ...]) -> None:
    if got is not None and got not in allowed:
        raise TaskError(
            f"got {got!r} as the {what}{did_you_mean(str(got), allowed)}; allowed are "
            f"{' and '.join(map(repr, allowed)) if len(allowed) == 2 else ', '.join(allowed)}"
        )


def _check_dates(given: str | None) -> None:
    if given is None or given in DATE_ORDERS:
        return
    allowed = "allowed are ymd, dmy and mdy, or a format such as '%d %b %Y'"
    if not isinstance(given, str) or "%" not in given:
        raise TaskError(f"got the date format {given!r}; {allowed}")
    if "%z" in given.lower():
        raise TaskError(f"got the date format {given!r} with a time zone; {allowed}, without one")
    try:
        datetime.strptime(datetime(2000, 1, 1).strftime(given), given)
    except ValueError as error:
        raise TaskError(f"got the date format {given!r} ({error}); {allowed}") from None


AS_IT_IS = ReadOptions()
"""Rows that are read as they look."""
