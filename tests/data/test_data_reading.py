"""How rows are read: numbers, dates and text as people write them, and the options that say how."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import torch

from pawl.data import load, read_like, resolve_task
from pawl.data.csvfiles import read_table_file
from pawl.errors import DataError, DataWarning, PawlError, TaskError
from pawl.options import READ_OPTIONS, ReadOptions
from pawl.task import Task

ROWS = 40


def task(data, **options):
    return Task(data=data, test=data, read=ReadOptions(**options))


def with_column(values, name="c"):
    """Text cells as a CSV gives them, with `x` and a regression target `target`."""
    count = len(values)
    return pd.DataFrame(
        {
            "x": [f"{row + 0.25}" for row in range(count)],
            name: [str(value) for value in values],
            "target": [f"{row * 0.5}" for row in range(count)],
        }
    )


def column(data, name="c"):
    return next(column for column in data.schema.columns if column.name == name)


def numeric(data, feature="c"):
    spec = next(spec for spec in data.schema.inputs if spec.name == "numeric")
    return data.development.inputs["numeric"][:, spec.features.index(feature)].tolist()


def said(data, *words):
    return any(all(word in note for word in words) for note in data.notes)


# Numbers


def semicolons(marks=",", rows=ROWS):
    lines = [f"{row}{marks}5;{1 + row % 3}{marks}125;{row * 2}{marks}75" for row in range(rows)]
    return "a;b;target\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("cells", "sign", "numbers"),
    [
        (["$3,292.36", "-$5", "$-7.5", "$ .5"], "$", [3292.36, -5, -7.5, 0.5]),
        (["€1,683.81", "€12", "€3.5", "€4.25"], "€", [1683.81, 12, 3.5, 4.25]),
        (["1.683,81 €", "12 €", "-3,5 €", "4,25€"], "€", [1683.81, 12, -3.5, 4.25]),
        (["83.0%", "-13 %", "3.5%", "+4.25%"], "%", [83, -13, 3.5, 4.25]),
    ],
)
def test_money_and_percentages_are_numbers(cells, sign, numbers):
    frame = pd.DataFrame({"x": range(40), "price": cells * 10, "y": cells * 10})
    frame.loc[39, "price"] = ""
    data = load(Task(data=frame, test=frame, target="y"))
    assert data.schema.kind == "regression"
    assert data.development.targets[:4].tolist() == pytest.approx(numbers)
    read = data.development.inputs["numeric"][:, 1]
    assert read[:4].tolist() == pytest.approx(numbers)
    assert read[39].isnan()
    assert said(data, "column 'price'", repr(sign), repr(cells[0]))
    assert said(data, "the target 'y'", repr(sign))
    rows = pd.DataFrame({"x": [1, 2, 3], "price": [cells[1], numbers[1], f"{numbers[2]:g}"]})
    again = read_like(data.schema, rows).inputs["numeric"][:, 1]
    assert again.tolist() == pytest.approx([numbers[1], numbers[1], numbers[2]])
    with pytest.warns(DataWarning, match="'price': 1 of 3 cells are no finite number"):
        read_like(data.schema, rows.assign(price=[cells[1], cells[2], "£5"]))


def test_other_signs_beside_numbers_are_categories_unless_said():
    cells = ["$1", "$2", "free", "$3"] * 10
    frame = pd.DataFrame({"x": range(40), "c": cells, "d": ["$1", "€2"] * 20, "y": range(40)})
    plain = load(Task(data=frame, test=frame))
    assert [column.kind for column in plain.schema.columns] == ["numeric", *["categorical"] * 2]
    assert "sign" not in plain.schema.model_dump_json()  # it is written as ever
    said_so = load(Task(data=frame, test=frame, read=ReadOptions(types=["c=numeric"])))
    numbers = said_so.development.inputs["numeric"][:4, 1]
    assert numbers[[0, 1, 3]].tolist() == [1, 2, 3]
    assert said(said_so, "'c'", "10 cell(s) are no numbers", "'free'")


def test_decimal_commas_are_numbers_and_stay_so_at_prediction(write):
    path = write(semicolons())
    data = load(task(path))
    assert [column.kind for column in data.schema.columns] == ["numeric", "numeric"]
    assert data.schema.kind == "regression"
    assert numeric(data, "a")[:2] == [0.5, 1.5]
    assert numeric(data, "b")[:3] == [1.125, 2.125, 3.125]
    assert data.development.targets[:2].tolist() == [0.75, 2.75]
    assert said(data, "commas are decimal marks", "'a', 'b'")
    assert data.left_out == ()
    again = read_like(data.schema, path)
    assert torch.equal(again.inputs["numeric"], data.development.inputs["numeric"])
    # One ambiguous cell alone is read as those were; points are read where they are plain.
    one = pd.DataFrame({"a": ["1,125"], "b": ["2,5"]})
    assert read_like(data.schema, one).inputs["numeric"].tolist() == [[1.125, 2.5]]
    points = write(semicolons("."), "points.csv")
    assert torch.equal(read_like(data.schema, points).inputs["numeric"], again.inputs["numeric"])


@pytest.mark.parametrize(
    ("cells", "values", "options"),
    [
        (["1.234,5", "12,25"], [1234.5, 12.25], {}),
        (["1,234.5", "12.25"], [1234.5, 12.25], {}),
        (["1 234,5", "12,25"], [1234.5, 12.25], {}),
        (["1,234", "2,500"], [1234.0, 2500.0], {}),
        (["1,234", "2,500"], [1.234, 2.5], {"decimal": ","}),
        (["1.234", "2.500"], [1.234, 2.5], {}),
        (["1.234", "2.500"], [1234.0, 2500.0], {"decimal": ","}),
        (["0,125", "2,500"], [0.125, 2.5], {}),
    ],
)
def test_the_decimal_mark_is_the_one_that_reads_most(cells, values, options):
    frame = with_column((cells * ROWS)[:ROWS]).assign(x=range(ROWS), target=np.arange(ROWS) / 2)
    data = load(task(frame, **options))
    assert numeric(data)[:2] == pytest.approx(values)


def test_other_columns_tell_what_one_leaves_open():
    frame = with_column(["1.234", "2.500"] * 20).assign(d=["1,5", "2,25"] * 20, x=range(ROWS))
    frame["target"] = np.arange(ROWS) / 2
    assert numeric(load(task(frame)))[:2] == [1234.0, 2500.0]


def test_a_named_decimal_mark_is_the_only_one():
    data = load(task(with_column(["1,5", "2,5"] * 20), decimal="."))
    assert column(data).kind == "categorical"


def test_leading_zeros_are_codes():
    frame = with_column(["01067", "20095", "80331", "04109"] * 10)
    data = load(task(frame))
    assert column(data).kind == "categorical"
    assert set(column(data).categories) == {"01067", "20095", "80331", "04109"}
    assert said(data, "'c'", "leading zeros", "'01067'", "numeric")
    typed = frame.assign(c=frame["c"].astype(int), x=frame["x"].astype(float))
    expected = data.development.inputs["categorical"]
    assert torch.equal(read_like(data.schema, typed).inputs["categorical"], expected)
    assert numeric(load(task(frame, types={"c": "numeric"})))[0] == 1067
    plain = with_column(["0", "5", "10", "0.5"] * 10)
    assert column(load(task(plain))).kind == "numeric"


def test_booleans_written_as_numbers():
    frame = pd.DataFrame({"x": range(ROWS), "c": [True, False] * 20, "target": range(ROWS)})
    schema = load(task(frame)).schema
    for cells in (["1.0", "0.0"], ["1", "0"], ["1,0", "0,0"], [1.0, 0.0], ["True", "no"]):
        rows = read_like(schema, pd.DataFrame({"x": [1, 2], "c": cells}))
        assert rows.inputs["numeric"][:, 1].tolist() == [1.0, 0.0]


# Dates


def days(pattern, start=dt.date(2024, 1, 25), step=9):
    return [(start + dt.timedelta(step * row)).strftime(pattern) for row in range(ROWS)]


@pytest.mark.parametrize(
    ("pattern", "date_format"),
    [
        ("%d/%m/%Y", "dmy"),
        ("%d.%m.%Y", "dmy"),
        ("%m/%d/%Y", "mdy"),
        ("%d-%m-%Y 13:05", "dmy"),
        ("%m/%d/%Y 1:05 PM", "mdy"),
        ("%Y.%m.%d", "ymd"),
    ],
)
def test_dates_as_people_write_them(pattern, date_format):
    data = load(task(with_column(days(pattern))))
    assert (column(data).kind, column(data).date_format) == ("date", date_format)
    iso = load(task(with_column(days("%Y-%m-%d"))))
    assert numeric(data, "c:days") == numeric(iso, "c:days")
    assert numeric(data, "c:month") == numeric(iso, "c:month")
    if "05" in pattern:
        assert numeric(data, "c:hour")[0] == pytest.approx(13 + 5 / 60)
    assert not said(data, "either way round")
    row = pd.DataFrame({"x": ["1"], "c": [dt.date(2024, 3, 2).strftime(pattern)]})
    features = data.schema.inputs[0].features
    assert read_like(data.schema, row).inputs["numeric"][0, features.index("c:month")] == 3


def test_dates_that_could_be_either_way_are_decided_and_noted():
    frame = with_column([f"0{1 + row % 9}/0{1 + row % 7}/2024" for row in range(ROWS)])
    data = load(task(frame))
    assert column(data).date_format == "dmy"
    assert said(data, "'c'", "day first", "mdy")
    other = load(task(frame, date_format="mdy"))
    assert column(other).date_format == "mdy"
    assert numeric(other, "c:month")[1] == 2
    assert not said(other, "day first")


def test_a_format_of_ones_own():
    data = load(task(with_column(days("%d %b %y")), date_format="%d %b %y"))
    assert column(data).kind == "date"
    whole = with_column(days("%Y%m%d"))
    data = load(task(whole, date_format="%Y%m%d", types=["c=date"]))
    assert column(data).date_format == "%Y%m%d"
    typed = whole.assign(c=whole["c"].astype(int))
    assert torch.equal(
        read_like(data.schema, typed).inputs["numeric"], data.development.inputs["numeric"]
    )


def test_rows_in_order_of_time_get_a_caution():
    frame = with_column(days("%d.%m.%Y"))
    assert said(load(Task(data=frame)), "in order of time by 'c'", "the option time")
    assert not said(load(Task(data=frame, test=frame)), "order of time")
    mixed = frame.assign(c=frame["c"].sample(frac=1, random_state=0).to_list())
    assert not said(load(Task(data=mixed)), "order of time")


# Files


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "cp1252", "latin-1"])
def test_encodings(tmp_path, encoding):
    cells = ["café", "Zürich"] * 20
    path, plain = tmp_path / "t.csv", tmp_path / "p.csv"
    with_column(cells).to_csv(path, index=False, encoding=encoding)
    with_column(cells).to_csv(plain, index=False)
    data = load(task(path))
    assert data.fingerprint == load(task(plain)).fingerprint
    guessed = encoding in ("cp1252", "latin-1")
    assert said(data, "read as Windows-1252") == guessed
    if guessed:
        assert not said(load(task(path, encoding=encoding)), "read as")
        with pytest.warns(DataWarning, match="read as Windows-1252"):
            read_like(data.schema, path)
    # A named encoding holds at prediction.
    schema = load(task(path, encoding=encoding)).schema
    assert len(read_like(schema, path)) == ROWS


def test_a_wrong_encoding_is_refused(write):
    path = write("a,target\n" + "é,1\nb,2\n" * 20)
    with pytest.raises(DataError, match="'utf-9', which there is not"):
        load(task(path, encoding="utf-9"))
    with pytest.raises(DataError, match="not ASCII at byte 9"):
        load(task(path, encoding="ascii"))
    with pytest.raises(DataError, match="'rot13', which there is not"):
        load(task(path, encoding="rot13"))


def test_the_separator_is_the_one_that_fits_all_rows(write):
    text = "size, in m;target\n" + "".join(f"{row},5;{row * 2},25\n" for row in range(ROWS))
    data = load(task(write(text)))
    assert (column(data, "size, in m").kind, data.schema.kind) == ("numeric", "regression")
    bars = semicolons(".").replace(";", "|")
    assert load(task(write(bars))).schema.target == "target"


def test_a_separator_can_be_named(write):
    text = "a:b:target\n" + "".join(f"{row}:{row % 3}:{row / 2}\n" for row in range(ROWS))
    path = write(text)
    data = load(task(path, separator=":"))
    assert [column.name for column in data.schema.columns] == ["a", "b"]
    assert len(read_like(data.schema, path)) == ROWS
    tabs = write(text.replace(":", "\t"))
    assert read_table_file(tabs, ReadOptions(separator="tab")).frame.shape == (ROWS, 3)


def test_a_cut_number_names_separator_and_decimal_mark(write):
    with pytest.raises(DataError) as caught:
        load(task(write("a,target\n" + "1,5\n" * 30 + "1,5,2\n")))
    message = str(caught.value)
    assert "line 32: got 3 cell(s); 2 are allowed" in message
    assert "commas separate cells" in message
    assert "separator and the decimal mark" in message


# Options


def test_ignored_columns_are_left_out_and_named(frame):
    data = load(task(frame.assign(more=1), ignore=["size"]))
    assert [column.name for column in data.schema.columns] == ["color"]
    assert data.left_out == ("size", "more")
    assert "left out: 'size', 'more'" in data.headline
    assert "binary classification of 'label', 120 rows" in data.headline
    renamed = frame.rename(columns={"label": "outcome"}).assign(last=1.0)
    assert load(task(renamed, ignore="last")).schema.target == "outcome"


def test_types_say_what_columns_are():
    frame = pd.DataFrame(
        {"n": [1, 2, 3, 4] * 10, "t": ["5", "6", "oops", "8"] * 10, "target": np.arange(40.0)}
    )
    data = load(task(frame, types={"n": "categorical", "t": "numeric"}))
    assert [(c.name, c.kind) for c in data.schema.columns] == [
        ("n", "categorical"),
        ("t", "numeric"),
    ]
    assert said(data, "'t'", "10 cell(s) are no numbers", "'oops'")
    with pytest.warns(DataWarning, match="'t': 10 of 40 cells are no finite number"):
        again = read_like(data.schema, frame.drop(columns="target"))
    assert torch.equal(again.inputs["categorical"], data.development.inputs["categorical"])
    flags = frame.assign(t=["1.0", "0"] * 20)
    assert column(load(task(flags, types=["t=boolean"])), "t").kind == "boolean"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "allowed is one character"),
        ({"separator": ",", "decimal": ","}, "one character cannot be both"),
        ({"decimal": ";"}, "as the decimal"),
        ({"date_format": "dym"}, "allowed are ymd, dmy and mdy"),
        ({"date_format": "%Q"}, "%Q"),
        ({"date_format": "%Y %z"}, "time zone"),
        ({"types": ["zip"]}, "COLUMN=KIND"),
        ({"types": {"zip": "categorial"}}, "did you mean 'categorical'"),
        ({"rare": "merg"}, "did you mean 'merge'"),
        ({"ignore": ["colour"]}, "did you mean 'color'"),
        ({"types": {"colour": "numeric"}}, "did you mean 'color'"),
        ({"types": {"color": "numeric"}}, "type numeric for column 'color', but none"),
        ({"types": {"label": "numeric"}}, "is the target"),
        ({"ignore": ["label"]}, "no feature|is the target"),
        ({"positive": "maybe"}, "the target 'label' has 'no', 'yes'"),
    ],
)
def test_options_that_cannot_be(frame, options, message):
    with pytest.raises(PawlError, match=message) as caught:
        load(Task(data=frame, target="label", read=ReadOptions(**options)))
    assert "\n" not in str(caught.value)


def test_options_go_through_json_and_override_a_tasks_own(frame):
    options = ReadOptions(
        separator="tab",
        decimal=",",
        ignore=["a"],
        types={"b=c": "date"},
        rare="drop",
        positive="yes",
    )
    assert ReadOptions(**options.given) == options
    assert ReadOptions().given == {}
    own = Task(data=frame, read=ReadOptions(decimal=",", positive="no"))
    read = resolve_task(own, positive="yes", ignore=None).read
    assert read == ReadOptions(decimal=",", positive="yes")
    with pytest.raises(TaskError, match="did you mean 'separator'"):
        resolve_task(frame, seperator=";")
    assert set(ReadOptions.model_fields) == set(READ_OPTIONS)


def test_options_for_tables_are_refused_elsewhere():
    arrays = (np.zeros((40, 2)), np.arange(40) % 2)
    with pytest.raises(
        DataError, match="'ignore' for arrays; it is for tables alone, leave it out"
    ):
        load(Task(data=arrays, read=ReadOptions(ignore=["a"])))
    assert load(Task(data=arrays, read=ReadOptions(positive="0"))).schema.classes == ("1", "0")


# Targets


@pytest.mark.parametrize("cells", [[1, 2, 3, 5, 6, 7], [1.0, 2.0, 3.0], ["1.0", "2.0", "3.0"]])
def test_a_metric_of_classes_makes_whole_numbers_classes(cells):
    frame = pd.DataFrame({"x": range(60), "target": (cells * 60)[:60]})
    quantity = load(Task(data=frame))
    assert quantity.schema.kind == "regression"
    assert said(quantity, f"{len(cells)} whole numbers", "multiclass makes them classes")
    for metric in ("accuracy", "f1", "log_loss"):
        schema = load(Task(data=frame, metric=metric)).schema
        assert schema.kind == "multiclass"
        assert schema.classes == tuple(str(int(float(cell))) for cell in cells)
    arrays = (np.zeros((60, 2)), np.array((cells * 60)[:60], dtype=np.float32))
    assert load(Task(data=arrays, metric="accuracy")).schema.kind == "multiclass"
    assert load(Task(data=frame, metric="mae")).schema.kind == "regression"


def test_fractions_stay_quantities_whatever_the_metric():
    frame = pd.DataFrame({"x": range(60), "target": [0.5, 1.5, 2.0] * 20})
    data = load(Task(data=frame, metric="accuracy"))
    assert data.schema.kind == "regression"
    assert not said(data, "whole numbers")


def test_long_whole_numbers_stay_the_classes_that_they_are(write):
    named = ["9007199254740993", "9007199254740994"]
    rows = "".join(f"{row},{named[row % 2]}\n" for row in range(60))
    path = write("x,y\n" + rows)
    typed = pd.DataFrame({"x": range(60), "y": [int(each) for each in named] * 30})
    for source in (path, typed):
        data = load(Task(data=source, test=source))
        assert (data.schema.kind, data.schema.classes) == ("binary", tuple(named))
        assert data.development.targets[:4].tolist() == [0, 1, 0, 1]
    other = typed.assign(y=9007199254740995)
    with pytest.raises(DataError, match="unknown class '9007199254740995'"):
        read_like(data.schema, other, with_targets=True)


@pytest.mark.parametrize("named", ["None", " NA", "nan"])
def test_classes_that_read_as_missing_are_quoted(write, named):
    rows = "".join(f"{row},{('mild', 'severe', named)[row % 3]}\n" for row in range(60))
    data = load(Task(data=write("x,y\n" + rows)))
    shown = named.strip()
    assert said(
        data, f"20 of 60 rows have no target in 'y' (20 cell(s) '{shown}' count as missing; "
    )
    assert said(data, "name the class otherwise to keep it) and were left out")
    empty = load(Task(data=write("x,y\n" + rows.replace(named, ""))))
    assert "20 of 60 rows have no target in 'y' and were left out" in empty.notes
    rows = "".join(f"{row},{('None', 'nan')[row % 2]}\n" for row in range(60))
    with pytest.raises(
        DataError, match=r"no row has a target in 'y' \(30 cell.*'None', 30 .*'nan'"
    ):
        load(Task(data=write("x,y\n" + rows)))
    rows = "".join(f"{row},{('2.5', str(row), named)[row % 3]}\n" for row in range(60))
    data = load(Task(data=write("x,y\n" + rows)))
    assert said(data, f"(20 cell(s) '{shown}' count as missing) and were left out")


@pytest.fixture
def rare(frame):
    """Two classes of 28 rows, and three of one or two rows."""
    return frame.assign(label=["no", "yes"] * 28 + ["a", "a", "b", "c"])


def test_rare_classes_are_refused_and_the_message_names_the_way_out(rare):
    with pytest.raises(DataError, match="option rare"):
        load(Task(data=rare))


def test_rare_classes_can_be_dropped(rare):
    data = load(Task(data=rare, read=ReadOptions(rare="drop")))
    assert (data.schema.kind, data.schema.classes) == ("binary", ("no", "yes"))
    assert len(data.development) + len(data.test) == 56
    assert said(data, "'b', 'c', 'a'", "4 rows", "left out")
    apart = load(Task(data=rare, test=rare, read=ReadOptions(rare="drop")))
    assert len(apart.test) == 56


def test_rare_classes_can_be_merged(frame, rare):
    few = frame.assign(
        label=["no", "yes", "so"] * 17 + ["a", "a", "a", "b", "b", "b", "c", "c", "c"]
    )
    data = load(Task(data=few, read=ReadOptions(rare="merge")))
    assert data.schema.classes == ("no", "other", "so", "yes")
    assert len(data.development) + len(data.test) == 60
    assert said(data, "9 rows", "merged into the class 'other'")
    # Too few in all: no class that is not rare joins them.
    with pytest.raises(DataError, match=r"'b', 'c', 'a' .* have 4 row.* at least 7 .* use drop"):
        load(Task(data=rare, read=ReadOptions(rare="merge")))
    two = frame.assign(label=["no"] * 30 + ["yes"] * 28 + ["zz"] * 2)
    with pytest.raises(DataError, match=r"'zz' .* have 2 row"):
        load(Task(data=two, read=ReadOptions(rare="merge")))
    assert load(Task(data=two, read=ReadOptions(rare="drop"))).schema.classes == ("no", "yes")


def test_rare_numbers_in_arrays():
    targets = np.array([0, 1] * 30 + [7])
    data = load(Task(data=(np.zeros((61, 2)), targets), read=ReadOptions(rare="drop")))
    assert data.schema.classes == ("0", "1")
    assert len(data.development) + len(data.test) == 60
    with pytest.raises(TaskError, match="is a quantity"):
        load(Task(data=(np.zeros((61, 2)), targets / 2), read=ReadOptions(rare="drop")))


def test_rare_classes_of_images(make_images):
    folder = make_images({"cat": 15, "dog": 15, "cow": 1})
    data = load(Task(data=folder, read=ReadOptions(rare="drop", positive="cat")))
    assert data.schema.classes == ("dog", "cat")


def test_the_positive_class_comes_second(frame):
    data = load(Task(data=frame, read=ReadOptions(positive="no")))
    assert data.schema.classes == ("yes", "no")
    assert load(Task(data=frame)).development.targets.float().mean() == 0.5
    numbers = frame.assign(label=[0, 1, 1] * 20)
    data = load(Task(data=numbers, read=ReadOptions(positive="0")))
    assert data.schema.classes == ("1", "0")
    assert (data.development.targets == 1).sum() == 16
    with pytest.raises(TaskError, match="is for two classes"):
        load(Task(data=frame.assign(label=["a", "b", "c"] * 20), read=ReadOptions(positive="a")))
