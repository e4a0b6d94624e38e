"""How a user's rows are to be read, where reading them alone would not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from pawl.errors import TaskError, did_you_mean, option
from pawl.options.model import OptionsModel, Whole

ColumnKind = Literal["numeric", "boolean", "date", "categorical", "text"]

COLUMN_KINDS: tuple[ColumnKind, ...] = ("numeric", "boolean", "date", "categorical", "text")
DATE_ORDERS = ("ymd", "dmy", "mdy")
_DECIMALS = (".", ",")
_RARE = ("drop", "merge")
_SPELLED = {"tab": "\t", "\\t": "\t"}


class ReadOptions(OptionsModel):
    """How rows are read; what is left out is told from the rows themselves.

    Raises:
        TaskError: If one of them is unknown, or none that is allowed.
    """

    separator: str | None = Field(
        default=None, description="Between the cells of a CSV file: one character, or tab."
    )
    decimal: str | None = Field(
        default=None, description="Decimal mark of numbers written as text: . or ,"
    )
    encoding: str | None = Field(
        default=None, description="Of a CSV file, as Python names it: utf-8, cp1252, utf-16, ..."
    )
    date_format: str | None = Field(
        default=None,
        description="How dates are written: ymd, dmy or mdy for the order of year, month and day, or a "
        "format such as '%d %b %Y'.",
    )
    ignore: Sequence[str] = Field(
        default=(), description="Column to leave out; may be given several times."
    )
    types: Mapping[str, str] | Sequence[str] = Field(
        default=(),
        description="What a column is, whatever it looks like: COLUMN=KIND, with numeric, boolean, "
        "date, categorical or text (words, read as tokens); several times, or a mapping.",
    )
    rare: str | None = Field(
        default=None,
        description="Classes with too few rows, which are refused by default: drop leaves their rows "
        "out, merge makes one class of them.",
    )
    positive: Any = Field(
        default=None,
        description="Of two classes, the one that counts as positive; by default the second in order.",
    )

    group: str | None = Field(
        default=None,
        description="Column (of arrays: the name of one) that says which rows belong together, such as "
        "a patient: none is trained on where another is judged on, and it is no feature. With a window, "
        "rows of one group are a series of their own, and it stays a feature. Of images: a CSV file of "
        "paths and groups.",
    )
    group_pattern: str | None = Field(
        default=None,
        description="Of images: a regular expression that finds the group in a file's path, as in "
        "'(patient\\d+)_'; the first pair of brackets is the group, if there is one.",
    )
    time: str | Sequence[str] | None = Field(
        default=None,
        description="Column (of arrays: the name of one) by which rows are in order, numbers or dates, "
        "or several columns, as in year,month,day: models train on what comes before the rows they are "
        "judged on.",
    )
    window: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="With a time column: each row also sees so many rows before it, with their targets.",
    )
    horizon: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="With a window: predict so many steps ahead. Of the rows before, the latest are not "
        "seen, and of the row itself only its time and the columns known ahead.",
    )
    known: Sequence[str] | None = Field(
        default=None,
        description="With a horizon: columns that are known ahead, as a calendar or a price is; "
        "several, as in holiday,price.",
    )

    @field_validator("ignore", mode="before")
    @classmethod
    def _names(cls, given: Any) -> tuple[str, ...]:
        names = (given,) if isinstance(given, str) else given
        return tuple(dict.fromkeys(str(name) for name in names))

    @field_validator("time", mode="before")
    @classmethod
    def _times(cls, given: Any) -> Any:
        if isinstance(given, str):
            return given
        names = tuple(dict.fromkeys(str(name) for name in given))
        if not names:
            raise TaskError("got no time column; name one, or leave the time out")
        return names[0] if len(names) == 1 else names

    @field_validator("known", mode="before")
    @classmethod
    def _known(cls, given: Any) -> tuple[str, ...]:
        return (given,) if isinstance(given, str) else tuple(map(str, given))

    @field_validator("types", mode="before")
    @classmethod
    def _kinds(cls, given: Any) -> tuple[str, ...]:
        return tuple(f"{name}={kind}" for name, kind in _pairs(given))

    @field_validator("positive", mode="before")
    @classmethod
    def _text(cls, given: Any) -> str:
        return str(given)

    @model_validator(mode="after")
    def _check(self) -> Self:
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
        self._check_time()
        self._check_pattern()
        return self

    def _check_pattern(self) -> None:
        if self.group_pattern is None:
            return
        if self.group is not None:
            raise TaskError("got a group and a group pattern; give one of them")
        try:
            re.compile(self.group_pattern)
        except re.error as error:
            raise TaskError(
                f"got {option('group_pattern', self.group_pattern)}, which is no regular expression "
                f"({error}); correct it"
            ) from None

    def _check_time(self) -> None:
        if self.window is not None and self.time is None:
            raise TaskError(
                f"got {option('window', self.window)} without a time column; name the column by which "
                f"rows are in order by {option('time')}"
            )
        if self.horizon is not None and self.window is None:
            raise TaskError(
                f"got {option('horizon', self.horizon)} without a window; say how many rows before are "
                f"seen by {option('window')}"
            )
        if self.known is not None and self.horizon is None:
            raise TaskError(
                f"got {option('known', ','.join(self.known))} without a horizon; without one all "
                "columns of a row are known, leave it out"
            )
        if self.group is not None and self.time is not None and self.window is None:
            raise TaskError(
                "got a group and a time column; give one of them, or a window as well, whose series the "
                "groups are"
            )

    @property
    def mark(self) -> str:
        """The separator's character, empty if none was given."""
        return _SPELLED.get(self.separator or "", self.separator or "")

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """What columns are, by name."""
        return dict(_pairs(self.types))


READ_OPTIONS = tuple(ReadOptions.model_fields)


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
