"""Targets as they were read, their class names and their encoding.

Shape legend: `R` rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.cells import (
    MISSING,
    as_numbers,
    as_texts,
    number_name,
    read_cells,
    sign_of,
    without_sign,
)
from pawl.data.numbers import Marks
from pawl.data.types import list_names
from pawl.errors import DataError, did_you_mean

_MOSTLY_NUMBERS = 0.95
_WHOLE = re.compile(r"[+-]?\d{1,40}")
_LONGEST = 2**53
"""Above it floats do not tell whole numbers apart."""
_FEW_LONG = 20
_WORDS = sorted(text for text in MISSING if any(map(str.isalpha, text)))
"""Texts that stand for a missing cell, and that someone may have meant as a class."""


@dataclass(frozen=True)
class Labels:
    """Targets as they were read.

    Attributes:
        name: What messages call the target.
        texts: `[R]` object: each row's text, `None` where missing. `None` if all are numbers.
        numbers: `[R]` float64, NaN where missing or infinite. `None` unless all are numbers.
        whole: Whether they came as integers in the user's own arrays.
        odd: A text among targets that are nearly all numbers.
        num_infinite: How many infinite values became missing.
        sign: What stands beside each number, such as `$` or `%`.
        spelled: The texts that stood for missing cells, such as `None`, and how many of each.
    """

    name: str
    texts: NDArray[Any] | None = None
    numbers: NDArray[np.float64] | None = None
    whole: bool = False
    odd: str | None = None
    num_infinite: int = 0
    sign: str = ""
    spelled: tuple[tuple[str, int], ...] = ()

    @property
    def told_missing(self) -> str:
        """What messages say behind the name of a target that misses cells: how they are spelled."""
        if not self.spelled:
            return ""
        cells = ", ".join(f"{count} cell(s) {text!r}" for text, count in self.spelled)
        classes = self.numbers is None or not self.present.any()
        way_out = "; name the class otherwise to keep it" if classes else ""
        return f" ({cells} count as missing{way_out})"

    @property
    def present(self) -> NDArray[np.bool_]:
        """`[R]`: which rows have a target."""
        if self.numbers is not None:
            return ~np.isnan(self.numbers)
        assert self.texts is not None
        return ~pd.isna(self.texts)

    def take(self, rows: NDArray[Any]) -> Labels:
        """The rows of a mask or of indices."""
        return replace(
            self,
            texts=None if self.texts is None else self.texts[rows],
            numbers=None if self.numbers is None else self.numbers[rows],
        )

    def names(self) -> list[str]:
        """The distinct targets as class names, in index order: sorted, as numbers if they are."""
        if self.numbers is not None:
            numbers = np.unique(self.numbers[self.present])
            return [number_name(float(number)) for number in numbers]
        assert self.texts is not None
        return sort_classes(set(self.texts[self.present]))


def read_labels(
    column: pd.Series[Any], name: str, *, whole: bool = False, decimal: Marks = ".,"
) -> Labels:
    """Reads a target column of any dtype.

    Raises:
        DataError: If it holds dates, lists or the like.
    """
    if _are_long(column):
        column = column.astype(object).astype("category")
    cells = read_cells(column, decimal)
    if cells.kind in ("date", "other"):
        got = "dates" if cells.kind == "date" else "lists or other objects"
        raise DataError(
            f"the target {name!r} holds {got}; allowed are numbers, text, booleans and categories"
        )
    odd, spelled = None, _spelled(column) if cells.missing.any() else ()
    if cells.kind in ("number", "text"):
        sign = sign_of(cells, decimal)
        numbers = as_numbers(without_sign(cells, sign), decimal)
        num_present = int((~cells.missing).sum())
        num_odd = num_present - int((~np.isnan(numbers)).sum())
        if num_odd == 0:
            with np.errstate(over="ignore"):
                infinite = np.isinf(numbers.astype(np.float32))
            numbers = np.where(infinite, np.nan, numbers)
            num_infinite = int(infinite.sum())
            return Labels(
                name,
                numbers=numbers,
                whole=whole,
                num_infinite=num_infinite,
                sign=sign,
                spelled=spelled,
            )
        if num_odd < (1 - _MOSTLY_NUMBERS) * num_present:
            odd = cells.present_texts[cells.codes[np.isnan(numbers) & ~cells.missing][0]]
    texts, codes = as_texts(cells)
    spread = np.array([*texts, None], dtype=object)[codes]
    return Labels(name, texts=spread, odd=odd, spelled=spelled)


def _are_long(column: pd.Series[Any]) -> bool:
    """Whether a column holds a few whole numbers, some too long for a float: names of classes."""
    if pd.api.types.is_float_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    try:
        texts = {str(value).strip() for value in column.dropna().unique()[: _FEW_LONG + 1]}
    except TypeError:  # unhashable: lists, dicts, arrays
        return False
    texts -= MISSING
    few = len(texts) <= _FEW_LONG and all(map(_WHOLE.fullmatch, texts))
    return few and any(abs(int(text)) > _LONGEST for text in texts)


def _spelled(column: pd.Series[Any]) -> tuple[tuple[str, int], ...]:
    """The texts of a column that count as missing, the most frequent first; none for empty cells."""
    texts = column[column.map(lambda cell: isinstance(cell, str))].astype(object).map(str.strip)
    return tuple(Counter(texts[texts.isin(_WORDS)]).most_common())


def sort_classes(names: set[str]) -> list[str]:
    """Class names in index order: by number if all are finite numbers, else by text."""
    if not all(map(is_number, names)):
        return sorted(names)
    return sorted(names, key=lambda name: (float(name), name))


def is_number(name: str) -> bool:
    """Whether a class name is a finite number."""
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False


def are_booleans(names: list[str]) -> bool:
    """Whether targets written as text are nothing but true and false."""
    return {name.lower() for name in names} <= {"true", "false"}


def encode_labels(labels: Labels, classes: Sequence[str]) -> Tensor:
    """Turns targets, none of them missing, into `[R]` int64 class indices, or values without classes.

    Raises:
        DataError: If a target is no known class, or no number where a number is asked for.
    """
    if not classes:
        if labels.numbers is not None:
            return torch.from_numpy(labels.numbers.astype(np.float32))
        assert labels.texts is not None
        if not are_booleans([str(text) for text in set(labels.texts)]):
            raise DataError(
                f"the target {labels.name!r} has the text {labels.odd or labels.texts[0]!r}; "
                f"allowed are numbers, as in the data that the schema comes from"
            )
        return torch.tensor([float(text.lower() == "true") for text in labels.texts])
    codes = class_codes(labels, classes)
    if (codes < 0).any():
        values = labels.texts if labels.numbers is None else labels.numbers
        assert values is not None
        first = values[(codes < 0).argmax()]
        name = first if isinstance(first, str) else number_name(float(first))
        raise DataError(
            f"the target {labels.name!r} has the unknown class {name!r}"
            f"{did_you_mean(name, classes)}; known are {list_names(classes)}"
        )
    return torch.from_numpy(codes)


def class_codes(labels: Labels, classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns class indices, `[R]`; -1 where a target is missing, or no known class."""
    values: NDArray[Any] | None = labels.texts if labels.numbers is None else labels.numbers
    assert values is not None
    codes, distinct = pd.factorize(values)  # what is missing is -1
    index = {canonical_name(name): code for code, name in enumerate(classes)}
    index |= {name: code for code, name in enumerate(classes)}
    mapped = np.full(len(distinct) + 1, -1, dtype=np.int64)
    for place, value in enumerate(distinct):
        name = value if isinstance(value, str) else number_name(float(value))
        mapped[place] = index.get(name, index.get(canonical_name(name), -1))
    found: NDArray[np.int64] = mapped[codes]
    return found


def canonical_name(name: str) -> str:
    """One writing for a number's class, so that `1`, `1.0` and `01` are the same."""
    if not is_number(name) or (_WHOLE.fullmatch(name) and abs(int(name)) > _LONGEST):
        return name
    return number_name(float(name))
