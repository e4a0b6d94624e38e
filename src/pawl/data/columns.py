"""A table's feature columns, inferred from development rows.

Shape legend: `R` rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pawl.data.cells import (
    Cells,
    as_booleans,
    as_dates,
    as_numbers,
    as_texts,
    read_cells,
    short,
    sign_of,
    without_sign,
    zones,
)
from pawl.data.dates import choose_format
from pawl.data.encoding import finite_float32
from pawl.data.found import Found
from pawl.data.narrowing import coarse, too_coarse
from pawl.data.numbers import Marks, parse_numbers
from pawl.data.tokens import (
    INSTALL,
    TEXT,
    installed,
    num_ids,
    reads_as_text,
    train_tokenizer,
    usual_length,
)
from pawl.data.types import Column, InputSpec, list_names
from pawl.errors import DataError
from pawl.options import ColumnKind, ReadOptions

MAX_CATEGORIES = 255
_MAX_ODD_SHARE = 0.05
_MIN_DATE_SHARE = 0.95
_FREE_TEXT_DISTINCT = 1000
_FREE_TEXT_SHARE = 0.5
_MIN_IDENTIFIER_ROWS = 20
_EXACT = 2.0**53  # from here on floats do not tell whole numbers apart
_CODE = re.compile(r"\d+")
_NOUNS: dict[ColumnKind, Literal["number", "boolean", "date"]] = {
    "numeric": "number", "boolean": "boolean", "date": "date"
}  # fmt: skip
_DATE_PARTS = ("days", "month", "weekday", "hour")


@dataclass(frozen=True)
class Inferred:
    """A table's columns that are used, and what the model gets of them.

    Attributes:
        columns: The columns that are kept.
        inputs: `numeric`, `categorical` and one for each text, as far as there are such columns.
        notes: On what was left out or changed.
        left_out: The columns that are not used.
    """

    columns: tuple[Column, ...]
    inputs: tuple[InputSpec, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def infer_columns(
    frame: pd.DataFrame, options: ReadOptions, decimal: Marks, *, texts: bool = True
) -> Inferred:
    """Infers columns and model inputs from development rows.

    Args:
        frame: `[R, columns]`, without the target.
        options: Columns to leave out, what columns are, and how dates are written.
        decimal: The decimal marks of numbers written as text.
        texts: Whether what reads like text is taken as such; if not, it must be asked for.

    Raises:
        DataError: If no column is left, or one is not what the options say.
    """
    found = Found(options, decimal, texts)
    types = options.kinds
    for name in map(str, frame.columns):
        if name in options.ignore:
            found.leave_out(name, "it is to be ignored")
        elif name in types:
            _read_as(types[name], name, read_cells(frame[name]), found)
        else:
            _infer(name, read_cells(frame[name], decimal), found)
    for names, what in (
        (found.decimal_commas, "commas are decimal marks"),
        (found.grouped, "commas group thousands"),
    ):
        if names:
            found.notes.append(
                f"{what} in the numbers of column(s) {list_names(names)}; the option "
                f"decimal says otherwise"
            )
    if not found.columns:
        reasons = "; ".join(found.told()) or "the target is the only column"
        raise DataError(
            f"no feature column is left ({reasons}); at least one column that varies is needed; "
            f"add columns or choose another target"
        )
    inputs = []
    if found.features:
        inputs.append(
            InputSpec(
                name="numeric",
                shape=(len(found.features),),
                dtype="float32",
                features=tuple(found.features),
                missing=tuple(found.missing),
            )
        )
    categorical = [column for column in found.columns if column.kind == "categorical"]
    if categorical:
        inputs.append(
            InputSpec(
                name="categorical",
                shape=(len(categorical),),
                dtype="int64",
                features=tuple(column.name for column in categorical),
                cardinalities=tuple(len(column.categories) + 1 for column in categorical),
            )
        )
    written = [column for column in found.columns if column.kind == "text"]
    for place, (column, length) in enumerate(zip(written, found.lengths, strict=True), start=1):
        inputs.append(
            InputSpec(
                name=TEXT if place == 1 else f"{TEXT}_{place}",
                shape=(length,),
                dtype="int64",
                features=(column.name,),
                tokens=num_ids(column.tokenizer),
            )
        )
    return Inferred(tuple(found.columns), tuple(inputs), found.told(), tuple(found.left_out))


def _infer(name: str, cells: Cells, found: Found) -> None:
    missing = cells.missing
    if not name:
        found.left_out.append("")
        found.notes.append("a column without a name was left out")
    elif cells.kind == "other":
        found.leave_out(name, "its cells are no single values")
    elif missing.all():
        found.leave_out(name, "every cell is missing")
    elif cells.kind in ("number", "boolean"):
        _infer_numbers(name, cells, found)
    elif cells.kind == "date":
        _infer_dates(name, cells.values, zones(cells, cells.values), found)
    elif cells.kind == "category":
        _infer_categories(name, cells, found)
    else:
        _infer_text(name, cells, found)


def _infer_text(name: str, cells: Cells, found: Found) -> None:
    lowered = {text.lower() for text in cells.present_texts}
    if lowered <= {"true", "false"} or lowered <= {"yes", "no"}:
        typed = Cells("boolean", as_booleans(cells), cells.codes[:0])
        return _infer_numbers(name, typed, found)
    num_present = int((~cells.missing).sum())
    if all(map(_CODE.fullmatch, cells.present_texts)) and _are_codes(cells.present_texts):
        found.notes.append(
            f"column {name!r}: numbers with leading zeros (such as "
            f"{short(min(cells.present_texts))}) are codes, taken as categories; the option types "
            f"makes them numbers (numeric)"
        )
        return _infer_varied(name, cells, found)
    sign = sign_of(cells, found.decimal)
    plain = without_sign(cells, sign)
    numbers = as_numbers(plain, found.decimal)
    num_odd = num_present - int((~np.isnan(numbers)).sum())
    if num_odd == 0 or num_odd / num_present < _MAX_ODD_SHARE:
        found.note_odd(name, cells, np.isnan(numbers), "numbers")
        if any("," in text for text in cells.present_texts):
            _, mark = parse_numbers(plain.values, found.decimal)
            (found.decimal_commas if mark == "," else found.grouped).append(name)
        found.note_sign(name, cells, sign)
        return _infer_numbers(name, Cells("number", numbers, cells.codes[:0]), found, sign)
    date_format, unsure = choose_format(cells.values, cells.codes, found.options.date_format)
    dates = as_dates(cells, date_format)
    if (~np.isnat(dates)).sum() / num_present >= _MIN_DATE_SHARE:
        found.note_odd(name, cells, np.isnat(dates), "dates")
        if unsure:
            found.notes.append(
                f"column {name!r}: day and month could be either way round in all dates (such as "
                f"{short(cells.present_texts[0])}) and are read day first; the option date_format "
                f"(mdy) reads the month first"
            )
        return _infer_dates(name, dates, zones(cells, dates, date_format), found, date_format)
    return _infer_varied(name, cells, found)


def _are_codes(texts: Sequence[str]) -> bool:
    """Whether whole numbers begin with zeros that fill them up, as postal codes do."""
    longest = max(map(len, texts))
    padded = [text for text in texts if text[0] == "0" and len(text) > 1]
    return bool(padded) and all(len(text) == longest for text in padded)


def _read_as(kind: ColumnKind, name: str, cells: Cells, found: Found) -> None:
    """Takes a column as what the user says it is."""
    texts, codes = as_texts(cells)
    written = Cells("category", np.array(texts, dtype=object), codes)
    if kind == "categorical" and len(texts):
        return _infer_categories(name, written, found)
    if kind == "text" and len(texts):
        return _add_text(name, written, found)
    if kind == "date":
        typed = cells.kind == "date"
        wanted = found.options.date_format
        date_format = "ymd" if typed else choose_format(written.values, codes, wanted)[0]
        dates = cells.values if typed else as_dates(written, date_format)
        absent = np.isnat(dates)
    else:
        sign = sign_of(cells, found.decimal, every=False) if kind == "numeric" else ""
        plain = without_sign(cells, sign)
        values = as_booleans(cells) if kind == "boolean" else as_numbers(plain, found.decimal)
        absent = np.isnan(values)
    if absent.all():
        first = f" such as {short(texts[0])}" if texts else ""
        raise DataError(
            f"got the type {kind} for column {name!r}, but none of its cells{first} is one; leave "
            f"the type out, or give another"
        )
    found.note_odd(name, written, absent, f"{_NOUNS[kind]}s")
    if kind == "date":
        zoned = zones(cells if typed else written, dates, date_format)
        return _infer_dates(name, dates, zoned, found, date_format)
    found.note_sign(name, cells, sign)
    return _infer_numbers(name, Cells(_NOUNS[kind], values, codes[:0]), found, sign)


def _infer_varied(name: str, cells: Cells, found: Found) -> None:
    num_present = int((~cells.missing).sum())
    num_distinct = len(cells.values)
    mostly = num_distinct > _FREE_TEXT_SHARE * len(cells.codes)
    is_text = mostly and num_distinct >= _MIN_IDENTIFIER_ROWS and reads_as_text(cells.present_texts)
    if is_text and found.texts and installed():
        return _add_text(name, cells, found)
    varied = mostly and num_distinct > _FREE_TEXT_DISTINCT
    if varied or num_distinct == num_present >= _MIN_IDENTIFIER_ROWS:
        how = ""
        if is_text:
            how = f"; the option types ({name}=text) gives them to the model as tokens"
            how = how if installed() else f"; {INSTALL} reads them"
        found.leave_out(
            name,
            f"{num_distinct} distinct texts in {len(cells.codes)} rows look like free text or "
            f"identifiers{how}",
        )
        return None
    return _infer_categories(name, cells, found)


def _add_text(name: str, cells: Cells, found: Found) -> None:
    texts, rows = cells.present_texts, len(cells.codes)
    missing = bool(cells.missing.any())
    if len(texts) == 1 and not missing:
        found.leave_out(name, f"it is always {short(texts[0])}")
        return
    tokenizer = train_tokenizer(texts, rows)
    length = usual_length(tokenizer, texts, rows)
    found.add(Column(name=name, kind="text", missing=missing, tokenizer=tokenizer))
    found.lengths.append(length)
    found.notes.append(
        f"column {name!r} is read as text, in {num_ids(tokenizer):,} tokens, {length:,} of a row at most"
    )


def _infer_numbers(name: str, cells: Cells, found: Found, sign: str = "") -> None:
    values, num_infinite = finite_float32(cells.values)
    if num_infinite:
        found.notes.append(f"column {name!r}: {num_infinite} infinite value(s) count as missing")
    absent = np.isnan(values)
    if absent.all():
        found.leave_out(name, "every cell is missing")
    elif not absent.any() and (values == values[0]).all():
        why = f"it is always {short(values[0])}"
        if not _are_one(cells.values):
            why = (
                f"its numbers become 32 bits, which don't tell them apart (all are {short(values[0])}); "
                "to use them, take a constant off them, or change their unit"
            )
        found.leave_out(name, why)
    else:
        if coarse(cells.values[:, None], values[:, None]):
            found.notes.append(too_coarse(f"column {name!r}", values))
        column = Column(
            name=name,
            kind="boolean" if cells.kind == "boolean" else "numeric",
            missing=bool(absent.any()),
            sign=sign,
        )
        found.add(column, [name])


def _are_one(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers are all the same, also as they were before they became floats."""
    return bool((numbers == numbers[0]).all() and abs(numbers[0]) < _EXACT)


def _infer_dates(
    name: str,
    dates: NDArray[np.datetime64],
    zoned: tuple[bool, bool],
    found: Found,
    date_format: str = "ymd",
) -> None:
    absent = np.isnat(dates)
    seconds = dates.astype("datetime64[s]")  # which a model is given
    if not absent.any() and (seconds == seconds[0]).all():
        same = (dates == dates[0]).all()
        found.leave_out(
            name,
            f"it is {'always' if same else 'always within the second'} {seconds[0]}"
            + ("" if same else ", and dates are given to models in seconds"),
        )
        return
    has_times = bool((seconds[~absent] != seconds[~absent].astype("datetime64[D]")).any())
    parts = _DATE_PARTS if has_times else _DATE_PARTS[:3]
    if all(zoned):
        found.notes.append(
            f"column {name!r}: some times have a zone and some have none; those without count as UTC"
        )
    column = Column(
        name=name,
        kind="date",
        missing=bool(absent.any()),
        date_format=date_format,
        zoned=("some" if zoned[1] else "all") if zoned[0] else "",
    )
    found.add(column, [f"{name}:{part}" for part in parts])


def _infer_categories(name: str, cells: Cells, found: Found) -> None:
    texts, codes = cells.present_texts, cells.codes
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    order = sorted(
        (code for code in range(len(texts)) if counts[code]),
        key=lambda code: (-counts[code], texts[code]),
    )
    missing = bool((codes < 0).any())
    if len(order) == 1 and not missing:
        found.leave_out(name, f"it is always {short(texts[order[0]])}")
        return
    if len(order) > MAX_CATEGORIES:
        found.notes.append(
            f"column {name!r}: the {MAX_CATEGORIES} most frequent of {len(order)} categories are "
            f"kept, the rest count as unknown"
        )
    kept = tuple(texts[code] for code in order[:MAX_CATEGORIES])
    found.add(Column(name=name, kind="categorical", categories=kept, missing=missing))
