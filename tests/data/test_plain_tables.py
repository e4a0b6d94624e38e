"""What is read the fast way is read as it would be the slow way: text tables, and columns of numbers."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.data import cells, csvfiles, load
from pawl.data.cells import MISSING, as_numbers, read_cells
from pawl.data.csvfiles import check_widths, read_table_text
from pawl.data.plaincsv import read_plain
from pawl.errors import DataError
from pawl.options import AS_IT_IS
from pawl.task import Task

PLAIN = ("1", "-2.5", "", "ab", "x y", "NA", "é", "#")
NASTY = (
    " x",
    "x ",
    '"q"',
    '"l\nm"',
    '"d""d"',
    '"a,b"',
    'm"m',
    '"a"b',
    '"',
    '""',
    "\t",
    "\r",
    " ",
    "\0",
)
ENDS = ("\n", "\r\n", "\n\n", "\r", "\n \n")


@st.composite
def tables(draw):
    """Texts that are nearly CSV: rows of about as many cells, with whatever in them."""
    separator = draw(st.sampled_from(",;\t|"))
    pool = draw(st.sampled_from((PLAIN, (*PLAIN, " x", " "), (*PLAIN, *NASTY), NASTY)))
    width, end = draw(st.integers(1, 4)), draw(st.sampled_from(ENDS))
    row = st.lists(st.sampled_from(pool), min_size=width, max_size=width)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    if draw(st.integers(0, 4)) == 0:
        rows.append(draw(st.lists(st.sampled_from(pool), max_size=5)))
    text = end.join(separator.join(each) for each in rows)
    return text + draw(st.sampled_from(("", "\n", "\n\n", " "))), separator


@given(tables())
@settings(max_examples=300, deadline=None)
def test_plain_text_is_read_as_pandas_reads_it(table):
    text, separator = table
    found = read_plain(text.encode(), separator)
    if found is None:  # whatever is not plain is left to pandas
        return
    lines = io.StringIO(text, newline="")
    counted = check_widths(lines, separator, "name", len(text) + 1)
    known = pd.read_csv(
        io.StringIO(text), sep=separator, header=None, dtype="str", keep_default_na=False,
        skipinitialspace=True,
    )  # fmt: skip
    assert counted == (len(known) - 1, 0)
    assert found.to_numpy().tolist() == known.to_numpy().tolist()
    assert [*found.dtypes] == [*known.dtypes]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a,b\n1,x\n\n2,y\n", True),
        ('a;"b"\r\n1;"x;\ny"\r\n', True),
        ("a, b\n1, x\n", True),
        ('a, b\n1, "x"\n', False),  # Arrow takes the quotes for text
        ("a,b\n1\n", False),
        ("a,b\n1,2,3\n", False),
        ('a,b\n1,"x\n', False),  # the quote stays open
        ("a,b\n  \n1,2\n", False),  # a line of spaces is said
        ("a,b\r1,2\r", False),
        ("a\n1\n", False),
        ("\ufeffa,b\n1,2\n", False),
    ],
)
def test_what_is_plain(text, plain):
    separator = ";" if ";" in text else ","
    assert (read_plain(text.encode(), separator) is not None) == plain


numbers = st.one_of(
    st.floats(width=32).map(repr),
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(-1000, 1000, places=2).map(str),
    st.sampled_from(sorted(MISSING)),
)
odd = st.one_of(numbers, st.text("0123456789.,-+eEinfax_ ", max_size=6))


@given(
    st.lists(st.one_of(numbers, odd), min_size=1, max_size=12),
    st.sampled_from((".", ",", ".,", ",.")),
)
@settings(max_examples=400, deadline=None)
def test_plain_numbers_are_those_of_their_texts(texts, marks):
    column = pd.Series(texts, dtype="str")
    fast, slow = read_cells(column, marks), read_cells(column)
    if fast.kind == "text":
        assert fast.codes.tolist() == slow.codes.tolist()
        return
    # Pandas may be off in the last of 53 bits.
    np.testing.assert_allclose(fast.values, as_numbers(slow, marks), rtol=1e-15)
    assert fast.missing.tolist() == slow.missing.tolist()


@pytest.mark.parametrize(
    ("texts", "marks", "kind"),
    [
        (["1", "2.5", "NA", "1e3", "-.5"], ".,", "number"),
        (["", "?"], ".,", "number"),
        (["01", "10"], ".,", "text"),  # codes
        (["0", "0.5"], ".,", "number"),
        (["1,5", "2"], ".,", "text"),
        (["1.234", "2"], ",.", "text"),  # a thousand and more, perhaps
        (["1", "2"], ",.", "number"),
        (["1", "inf"], ".,", "text"),
        (["1", "x"], ".,", "text"),
        (["1", " 2"], ".,", "text"),
    ],
)
def test_which_columns_are_plain_numbers(texts, marks, kind):
    assert read_cells(pd.Series(texts, dtype="str"), marks).kind == kind


def test_a_table_is_the_same_by_either_way(monkeypatch, write):
    random = np.random.default_rng(0)
    rows = []
    for row in range(120):
        value = f"{random.normal():.{row % 17}f}"
        rows.append(
            (
                value if row % 11 else "NA",
                f"{row % 7}",
                f"{row:05}",
                "yes" if row % 3 else "no",
                f"c{row % 4}",
                "1e400" if row == 50 else repr(random.normal()),
                "x" if row == 7 else repr(random.normal()),
                f"2024-01-{1 + row % 28:02}",
                f"{row % 2}",
            )
        )
    lines = ["a,b,code,truth,letter,huge,odd,date,target", *map(",".join, rows)]
    path = write("\n".join(lines) + "\n")
    fast = load(Task(data=path))
    monkeypatch.setattr(csvfiles, "read_plain", lambda *_: None)
    monkeypatch.setattr(cells, "_plain_numbers", lambda *_: None)
    slow = load(Task(data=path))
    assert fast.fingerprint == slow.fingerprint
    assert fast.notes == slow.notes
    assert fast.schema == slow.schema


def test_what_is_wrong_is_said_by_its_line():
    with pytest.raises(DataError, match=r"t\.csv, line 3: got 1 cell\(s\); 2 are allowed"):
        read_table_text(b"a,b\n1,2\n3\n", "t.csv", AS_IT_IS)
    with pytest.raises(DataError, match="several columns called 'a'"):
        read_table_text(b"a, a\n1,2\n", "t.csv", AS_IT_IS)
    with pytest.raises(DataError, match="a header but no rows"):
        read_table_text(b"a,b\n", "t.csv", AS_IT_IS)
