"""Tables: sources, what is inferred, and reading by the schema."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pawl.data import load, read_like
from pawl.data.csvfiles import read_table_file
from pawl.data.streaming import TableStream
from pawl.errors import DataError, DataWarning, TaskError
from pawl.options import ReadOptions
from pawl.task import Task


def column(data, name):
    return next(column for column in data.schema.columns if column.name == name)


def numeric(data, feature):
    """The development rows' values of one numeric feature."""
    spec = next(spec for spec in data.schema.inputs if spec.name == "numeric")
    return data.development.inputs["numeric"][:, spec.features.index(feature)]


def with_column(values, name="c"):
    """A frame of text cells as a CSV gives it, with `x` and a regression target `target`."""
    num_rows = len(values)
    return pd.DataFrame(
        {
            "x": [str(row) for row in range(num_rows)],
            name: [str(value) for value in values],
            "target": [str(row * 0.5) for row in range(num_rows)],
        }
    )


# Sources


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", ".pq"])
def test_every_kind_of_file_gives_the_same_data(frame, tmp_path, suffix):
    path = tmp_path / f"things{suffix}"
    if suffix in (".parquet", ".pq"):
        frame.to_parquet(path)
    elif suffix == ".csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    data = load(Task(data=str(path)))
    assert data.name == "things"
    assert (data.schema.kind, data.schema.classes) == ("binary", ("no", "yes"))
    assert (len(data.development), len(data.test)) == (48, 12)
    assert data.fingerprint == load(Task(data=frame)).fingerprint
    assert data.notes == ()


def test_semicolons_quotes_line_breaks_blank_lines_and_a_byte_order_mark(write):
    rows = "".join(f'{row};"a;\nb{row % 3}" ;{row * 0.5}\n\n' for row in range(30))
    data = load(Task(data=write(f"\ufeffx;name;target\n{rows}")))
    assert column(data, "name").categories[0].startswith("a;\nb")
    assert len(data.development) + len(data.test) == 30


def test_lines_of_white_space_are_blank(write):
    rows = "".join(f"{row},{row % 2}\n   \n" for row in range(30))
    data = load(Task(data=write(f"x,target\n{rows}")))
    assert len(data.development) + len(data.test) == 30


def test_lines_of_spaces_are_no_rows_in_whole_or_in_parts_and_this_is_said(write):
    schema = load(Task(data=write("x,y\n" + "".join(f"{n},{n % 2}\n" for n in range(40))))).schema
    values = [f"{n}" for n in range(10)]
    text = "x\n" + "".join(f"{value}\n  \n\n" for value in values) + '""\n'
    path = write(text, "new.csv")
    whole = read_table_file(path, ReadOptions())
    assert whole.frame["x"].tolist() == [*values, ""]
    (note,) = whole.notes
    assert note.startswith("10 lines have only spaces")
    stream = TableStream.open(schema, path, rows=3)
    parts = [len(part) for part in stream]
    assert stream.total == sum(parts) == 11
    assert note in stream.notes
    # Within quotes they are a part of a cell.
    quoted = read_table_file(write('x\n"a\n  \nb"\nc\n', "quoted.csv"), ReadOptions())
    assert (quoted.frame["x"].tolist(), quoted.notes) == (["a\n  \nb", "c"], ())


def test_arrow_types_are_read_like_the_others(tmp_path):
    frame = pd.DataFrame(
        {
            "i": [1, None, 3, 4] * 10,
            "b": [True, False, None, True] * 10,
            "s": ["u", "v", None, "u"] * 10,
            "t": pd.date_range("2020-01-01 05:00", periods=40, tz="UTC"),
            "target": np.arange(40.0),
        }
    )
    arrow = frame.convert_dtypes(dtype_backend="pyarrow")
    assert load(Task(data=arrow)).fingerprint == load(Task(data=frame)).fingerprint


def test_tensors_have_the_documented_dtypes_and_shapes(frame):
    data = load(Task(data=frame))
    assert data.development.inputs["numeric"].dtype == torch.float32
    assert data.development.inputs["numeric"].shape == (48, 1)
    assert data.development.inputs["categorical"].dtype == torch.int64
    assert data.development.targets.dtype == torch.int64
    assert [spec.cardinalities for spec in data.schema.inputs] == [(), (4,)]


def test_a_frame_with_targets_apart(frame):
    features = frame.drop(columns=["label"])
    data = load(Task(data=(features, frame["label"])))
    assert (data.schema.source, data.schema.target) == ("table", "label")
    digits = np.arange(60) % 3
    data = load(Task(data=(features, digits)))
    assert (data.schema.target, data.schema.classes) == ("target", ("0", "1", "2"))
    again = read_like(data.schema, (features, digits), with_targets=True)
    assert again.targets.tolist() == digits.tolist()
    assert load(Task(data=(features, digits + 0.5))).schema.kind == "regression"
    with pytest.raises(DataError, match="60 rows of inputs and 59 targets"):
        load(Task(data=(features, digits[1:])))


@pytest.mark.parametrize("named", ["size", ["color", "size"]])
def test_a_named_index_is_taken_as_columns(frame, tmp_path, named):
    """From memory and from Parquet files, which hold it as a column; it may be a column elsewhere."""
    indexed = frame.set_index(named)
    path = tmp_path / "things.parquet"
    indexed.to_parquet(path)
    names = [named] if isinstance(named, str) else named
    told = [
        f"the index {name!r} is taken as a column; the option ignore leaves it out"
        for name in names
    ]
    wanted = load(Task(data=frame[[*names, *frame.columns.drop(names)]], target="label"))
    apart = indexed[indexed.columns.drop("label")]
    for data in (indexed, path, *([(apart, indexed["label"])] if len(apart.columns) else [])):
        found = load(Task(data=data, target="label"))
        assert (list(found.notes), found.fingerprint) == (told, wanted.fingerprint)
        for rows in (frame, indexed, path, apart):
            again = read_like(found.schema, rows).inputs
            assert all(torch.equal(x, again[name]) for name, x in
                       read_like(wanted.schema, frame).inputs.items())  # fmt: skip
        parts = [part.inputs["numeric"] for part in TableStream.open(found.schema, path, 7)]
        assert torch.equal(torch.cat(parts), read_like(wanted.schema, frame).inputs["numeric"])
    ignored = load(Task(data=frame.assign(z=frame.index % 7).set_index(named), target="label",
                        read=ReadOptions(ignore=names)))  # fmt: skip
    assert not any(note.startswith("the index") for note in ignored.notes)


def test_an_index_that_only_counts_or_has_no_name_is_no_column(frame):
    for index in (frame.index.rename("row"), np.arange(60)[::-1], frame.index.rename("size")):
        data = load(Task(data=frame.set_index(index)))
        assert [column.name for column in data.schema.columns] == ["size", "color"]
        assert not any(note.startswith("the index") for note in data.notes)


def test_breast_cancer_sample():
    data = load(Task(data="breast-cancer"))
    assert data.schema.classes == ("benign", "malignant")
    assert len(data.schema.columns) == 30
    assert "mean radius" in {column.name for column in data.schema.columns}
    assert len(data.development) + len(data.test) == 569


def test_name_and_fingerprint(frame):
    data = load(Task(data=frame, name="mine"))
    assert data.name == "mine"
    assert data.fingerprint == load(Task(data=frame)).fingerprint
    assert data.fingerprint != load(Task(data=frame), seed=1).fingerprint
    frame.loc[0, "size"] += 1
    assert data.fingerprint != load(Task(data=frame)).fingerprint


# Targets


@pytest.mark.parametrize(
    ("targets", "kind", "classes"),
    [
        (["b", "a", "c"], "multiclass", ("a", "b", "c")),
        (["b", "a"], "binary", ("a", "b")),
        (["2", "10"], "binary", ("2", "10")),
        ([2.0, 1.0], "binary", ("1", "2")),
        ([True, False], "binary", ("False", "True")),
        ([3, 4, 5, 6], "regression", ()),
        (["3", "4.5", "5"], "regression", ()),
        (["1", "2", "x"], "multiclass", ("1", "2", "x")),
    ],
)
def test_kind_is_inferred(targets, kind, classes):
    frame = pd.DataFrame({"x": np.arange(60.0), "target": (targets * 60)[:60]})
    schema = load(Task(data=frame)).schema
    assert (schema.kind, schema.classes) == (kind, classes)


def test_categorical_targets_are_classes():
    values = pd.Categorical([10, 2, 3] * 20)
    schema = load(Task(data=pd.DataFrame({"x": np.arange(60.0), "target": values}))).schema
    assert (schema.kind, schema.classes) == ("multiclass", ("2", "3", "10"))


def test_the_tasks_kind_wins():
    frame = pd.DataFrame({"x": np.arange(60.0), "target": [3, 4, 5] * 20})
    data = load(Task(data=frame, kind="multiclass"))
    assert data.schema.classes == ("3", "4", "5")
    two = frame.assign(target=[0, 1] * 30)
    assert load(Task(data=two, kind="regression")).schema.kind == "regression"
    assert load(Task(data=two, kind="multiclass")).schema.num_outputs == 2


@pytest.mark.parametrize(
    ("targets", "kind", "message"),
    [
        (["a", "b"], "regression", "is text such as 'a'; use binary or multiclass"),
        (["a", "b", "c"], "binary", "has 3 classes ('a', 'b', 'c'); use multiclass"),
        (["a", "b"], "bianry", "did you mean 'binary'"),
    ],
)
def test_an_impossible_kind_is_refused(targets, kind, message):
    frame = pd.DataFrame({"x": np.arange(60.0), "target": (targets * 60)[:60]})
    with pytest.raises(TaskError) as caught:
        load(Task(data=frame, kind=kind))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["target", "Label", "class", "y"])
def test_the_target_is_found_by_name(frame, name):
    renamed = frame.rename(columns={"label": name})[[name, "size", "color"]]
    assert load(Task(data=renamed)).schema.target == name


def test_the_last_column_is_the_target_otherwise(frame):
    renamed = frame.rename(columns={"label": "outcome"})
    assert load(Task(data=renamed)).schema.target == "outcome"
    assert load(Task(data=renamed, target="size")).schema.kind == "regression"


def test_rows_without_a_target_are_left_out_with_a_note(frame):
    frame.loc[[3, 5], "label"] = "?"
    frame.loc[7, "label"] = None
    data = load(Task(data=frame))
    assert len(data.development) + len(data.test) == 57
    assert "3 of 60 rows have no target in 'label' and were left out" in data.notes


def test_infinite_targets_count_as_missing():
    frame = with_column(["a", "b"] * 20)
    frame.loc[0, "target"] = "inf"
    data = load(Task(data=frame))
    assert len(data.development) + len(data.test) == 39
    assert any("1 infinite target" in note for note in data.notes)


# Feature columns


def test_numbers_as_text_with_missing_cells_and_white_space():
    missing = ["", "NaN", "nan", "NA", "N/A", "null", "None", "?", "  "]
    frame = with_column([f" {row}.5 " for row in range(31)] + missing)
    data = load(Task(data=frame, test=frame))
    assert (column(data, "c").kind, column(data, "c").missing) == ("numeric", True)
    assert data.schema.inputs[0].missing == (False, True)
    values = numeric(data, "c")
    assert values[:31].tolist() == [row + 0.5 for row in range(31)]
    assert values[31:].isnan().all()


def test_a_few_cells_that_are_no_numbers_become_missing():
    frame = with_column([*range(39), "oops"])
    data = load(Task(data=frame, test=frame))
    assert column(data, "c").kind == "numeric"
    assert numeric(data, "c")[-1].isnan()
    assert any("1 cell(s) are no numbers (such as 'oops')" in note for note in data.notes)


def test_many_cells_that_are_no_numbers_make_categories():
    frame = with_column(["1", "2", "x", "y"] * 10)
    data = load(Task(data=frame))
    assert column(data, "c").kind == "categorical"
    assert set(column(data, "c").categories) == {"1", "2", "x", "y"}


def test_infinite_values_count_as_missing():
    frame = with_column(["inf", "-inf", *range(38)]).assign(d=[1e39, *np.arange(39.0)])
    data = load(Task(data=frame, target="target", test=frame))
    assert numeric(data, "c")[:2].isnan().all()
    assert numeric(data, "d")[0].isnan()
    assert sum("infinite value(s) count as missing" in note for note in data.notes) == 2


@pytest.mark.parametrize("values", [["true", "False"], ["Yes", "no"], [True, False]])
def test_booleans(values):
    frame = pd.DataFrame({"x": np.arange(40.0), "c": (values * 40)[:40], "target": np.arange(40.0)})
    data = load(Task(data=frame, test=frame))
    assert column(data, "c").kind == "boolean"
    assert numeric(data, "c").tolist() == [1.0, 0.0] * 20


def test_nullable_booleans_and_integers():
    frame = pd.DataFrame(
        {
            "b": pd.array([True, False, None, True] * 10, dtype="boolean"),
            "i": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
            "target": np.arange(40.0),
        }
    )
    data = load(Task(data=frame, test=frame))
    assert [column.kind for column in data.schema.columns] == ["boolean", "numeric"]
    assert numeric(data, "b")[2].isnan()
    assert numeric(data, "i")[:1].tolist() == [1.0]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2020-02-29", (18321, 2, 5)),
        ("2020/2/29", (18321, 2, 5)),
        ("1969-12-31", (-1, 12, 2)),
    ],
)
def test_dates(text, parts):
    frame = with_column([text] + ["2021-01-01"] * 38 + [""])
    data = load(Task(data=frame, test=frame))
    assert column(data, "c").kind == "date"
    assert data.schema.inputs[0].features == ("x", "c:days", "c:month", "c:weekday")
    assert tuple(data.development.inputs["numeric"][0, 1:].tolist()) == parts
    assert data.development.inputs["numeric"][39, 1:].isnan().all()


@pytest.mark.parametrize("text", ["2020-02-29 13:30", "2020-02-29T15:30:00.123+02:00"])
def test_times_add_the_hour(text):
    frame = with_column([text, *["2021-01-01"] * 39])
    data = load(Task(data=frame, test=frame))
    assert data.schema.inputs[0].features[-1] == "c:hour"
    assert data.development.inputs["numeric"][0, 1:].tolist() == [18321, 2, 5, 13.5]
    later = read_like(data.schema, with_column(["2020-02-29"] * 3))
    assert later.inputs["numeric"][0, 1:].tolist() == [18321, 2, 5, 0]


@pytest.mark.parametrize("typed", [True, False])
def test_times_within_one_second_are_not_called_equal(typed):
    times = pd.date_range("2020-01-01", periods=40, freq="ms")
    frame = with_column(times.strftime("%Y-%m-%d %H:%M:%S.%f"))
    data = load(Task(data=frame.assign(c=times) if typed else frame))
    assert (
        "column 'c' was left out: it is always within the second 2020-01-01T00:00:00, and dates are "
        "given to models in seconds"
    ) in data.notes


def test_typed_dates_are_read_like_text():
    text = [f"2020-01-{day:02} 0{day % 10}:00:00" for day in range(1, 29)]
    frame = with_column(text)
    typed = frame.assign(c=pd.to_datetime(frame["c"]))
    days = frame.assign(c=[value.date() for value in typed["c"]])
    zoned = typed.assign(c=typed["c"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    data = load(Task(data=frame, test=frame))
    for other in (typed, zoned):
        assert torch.equal(
            load(Task(data=other, test=other)).development.inputs["numeric"],
            data.development.inputs["numeric"],
        )
    assert load(Task(data=days)).schema.inputs[0].features[-1] == "c:weekday"


def test_times_with_zones_are_instants():
    text = [f"2020-01-{day:02} 00:30:00+01:00" for day in range(1, 29)]
    frame = with_column(text)
    data = load(Task(data=frame, test=frame))
    assert data.development.inputs["numeric"][0, 1:].tolist() == [18261, 12, 1, 23.5]
    assert column(data, "c").zoned == "all"
    berlin = pd.to_datetime(frame["c"], utc=True).dt.tz_convert("Europe/Berlin")
    utc = berlin.dt.tz_convert("UTC")
    for other in (berlin, utc, utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.astype(object)):
        again = read_like(data.schema, frame.assign(c=other))
        assert torch.equal(again.inputs["numeric"], data.development.inputs["numeric"])


def test_times_that_lack_the_zones_of_others_are_noted():
    plain = with_column([f"2020-01-{day:02} 00:30:00" for day in range(1, 29)])
    zoned = plain.assign(c=plain["c"] + "Z")
    typed = plain.assign(c=pd.to_datetime(plain["c"]))
    learned = load(Task(data=zoned, test=zoned)).schema
    for rows in (plain, typed):
        with pytest.warns(DataWarning, match="'c': times without a zone count as UTC"):
            read_like(learned, rows)
    learned = load(Task(data=typed, test=plain)).schema
    assert "zoned" not in learned.model_dump_json()  # it is written as ever
    with pytest.warns(DataWarning, match="'c': times with a zone are read in UTC"):
        read_like(learned, zoned)
    mixed = plain.assign(c=[*zoned["c"][:9], *plain["c"][9:]])
    data = load(Task(data=mixed, test=mixed))
    assert any("'c': some times have a zone and some have none" in note for note in data.notes)
    read_like(data.schema, zoned)
    read_like(data.schema, plain)


def test_text_with_too_few_dates_is_categorical():
    frame = with_column(["2020-01-01", "2020-01-02", "soon", "2020-13-01"] * 10)
    assert column(load(Task(data=frame)), "c").kind == "categorical"


def test_categories_are_sorted_by_frequency_then_name():
    frame = with_column(["b"] * 5 + ["a"] * 5 + ["c"] * 20 + [" c "] * 5 + [""] * 5)
    data = load(Task(data=frame, test=frame))
    assert column(data, "c").categories == ("c", "a", "b")
    assert column(data, "c").missing
    codes = data.development.inputs["categorical"][:, 0].tolist()
    assert codes == [3] * 5 + [2] * 5 + [1] * 25 + [0] * 5


def test_at_most_255_categories_are_kept():
    frame = with_column([f"v{row % 300:03}" for row in range(900)])
    data = load(Task(data=frame, test=frame))
    assert len(column(data, "c").categories) == 255
    assert data.schema.inputs[1].cardinalities == (256,)
    assert data.development.inputs["categorical"][299, 0] == 0
    assert any("255 most frequent of 300 categories" in note for note in data.notes)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["same"] * 40, "it is always 'same'"),
        (["7"] * 40, "it is always 7"),
        (["2020-01-01"] * 40, "it is always 2020-01-01"),
        (["?"] * 40, "every cell is missing"),
        ([f"id{row}" for row in range(40)], "look like free text or identifiers"),
        ([f"t{row // 2 * (row % 7 > 0)}" for row in range(3000)], "look like free text"),
    ],
)
def test_useless_columns_are_left_out_with_a_note(values, reason):
    data = load(Task(data=with_column(values)))
    assert [column.name for column in data.schema.columns] == ["x"]
    assert any("'c' was left out" in note and reason in note for note in data.notes)


def test_columns_that_are_left_out_for_one_reason_have_one_note():
    frame = with_column(["a"] * 40).assign(**{f"e{i}": None for i in range(12)}, same=3, equal=3)
    notes = load(Task(data=frame)).notes
    assert [note for note in notes if "left out" in note] == [
        "column 'c' was left out: it is always 'a'",
        "each of the columns 'e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7', 'e8', 'e9', ... (12 in all)"
        " was left out: every cell is missing",
        "each of the columns 'same', 'equal' was left out: it is always 3",
    ]


def test_a_constant_with_missing_cells_is_kept():
    data = load(Task(data=with_column(["a", ""] * 20)))
    assert column(data, "c").categories == ("a",)
    data = load(Task(data=with_column(["1", ""] * 20)))
    assert column(data, "c").kind == "numeric"


def test_columns_without_a_name_and_with_lists_are_left_out(frame):
    odd = frame.assign(**{"": np.arange(60), "many": [[1, 2]] * 60})
    data = load(Task(data=odd))
    assert [column.name for column in data.schema.columns] == ["size", "color"]
    assert len(data.notes) == 2


def test_no_column_left():
    with pytest.raises(DataError, match=r"no feature column is left .*always 'a'"):
        load(Task(data=with_column(["a"] * 40).drop(columns=["x"])))
    with pytest.raises(DataError, match="the target is the only column"):
        load(Task(data=pd.DataFrame({"target": np.arange(40.0)})))


def test_only_development_rows_are_inferred_from():
    # Each category is its own row's, so a test row's category cannot be known.
    frame = with_column([f"v{row // 2}" for row in range(100)])
    for seed in range(3):
        data = load(Task(data=frame), seed=seed)
        with pytest.warns(DataWarning, match="column 'c'"):
            again = read_like(data.schema, frame)
        development = {tuple(row.tolist()) for row in data.development.inputs["numeric"]}
        seen = {
            f"v{row // 2}"
            for row in range(100)
            if tuple(again.inputs["numeric"][row].tolist()) in development
        }
        assert set(column(data, "c").categories) == seen
        assert len(seen) < 50


# Test rows


def test_given_test_rows_are_read_by_the_schema(frame, tmp_path):
    test = frame.iloc[:10].assign(color=["violet"] * 5 + ["red"] * 5)
    test.to_csv(tmp_path / "test.csv", index=False)
    data = load(Task(data=frame, test=tmp_path / "test.csv"))
    assert (len(data.development), len(data.test)) == (60, 10)
    assert (data.test.inputs["categorical"][:5] == 0).all()
    assert (data.test.inputs["categorical"][5:] > 0).all()
    assert data.test.targets.tolist() == [0, 1] * 5


def test_cells_of_given_test_rows_that_no_model_can_take_are_noted(frame):
    """As they are of rows to predict, and by their row in the test table."""
    days = pd.date_range("2024-01-01", periods=60).astype(str)
    data = frame.assign(day=days, open=["yes", "no", "no"] * 20)
    test = data.assign(
        size=[f"{each} kg" if row % 2 else str(each) for row, each in enumerate(frame["size"])],
        color=frame["color"].str.upper(),
        day=[f"{each[8:]}.{each[5:7]}.{each[:4]}" for each in days],
        open=["yes", "no", "perhaps"] * 20,
        label=[None, None, *frame["label"][2:]],
    )
    task = Task(data=data, test=test, target="label")
    notes = [note for note in load(task).notes if note.startswith("test rows, ")]
    assert [note.removeprefix("test rows, ") for note in notes] == [
        "column 'size': 29 of 58 cells are no finite number and count as missing; the first is "
        f"'{frame['size'][3]} kg' in row 4",
        "column 'day': 58 of 58 cells are no date and count as missing; the first is '03.01.2024' in "
        "row 3",
        "column 'open': 20 of 58 cells are no truth value and count as missing; the first is "
        "'perhaps' in row 3",
        "column 'color': 58 of 58 cells are no category of the model and count as unknown; the first "
        f"is {frame['color'][2].upper()!r} in row 3",
    ]
    for test in (data, None):
        notes = load(replace(task, test=test)).notes
        assert not any(note.startswith("test rows, ") for note in notes)


def test_test_rows_that_do_not_fit(frame):
    with pytest.raises(DataError, match="test rows: the table has no target 'label'"):
        load(Task(data=frame, test=frame.drop(columns=["label"])))
    with pytest.raises(DataError, match=r"the class\(es\) 'no\.', which the data lacks"):
        load(Task(data=frame, test=frame.assign(label=["no.", "yes"] * 30)))
    with pytest.raises(DataError, match="test data is of the form arrays"):
        load(Task(data=frame, test=(np.zeros((3, 2)), np.zeros(3))))


def test_a_class_of_the_test_rows_alone_widens_a_multiclass_target(frame):
    three = frame.assign(label=["a", "b", "d"] * 20)
    data = load(Task(data=three, test=three.assign(label=["c", "b", "d"] * 20)))
    assert data.schema.classes == ("a", "b", "c", "d")
    assert any("only the test rows have the class(es) 'c'" in note for note in data.notes)


def test_the_test_share_is_stratified_and_depends_on_the_seed(frame):
    first, same = load(Task(data=frame), test_share=0.5), load(Task(data=frame), test_share=0.5)
    other = load(Task(data=frame), seed=1, test_share=0.5)
    assert first.test.targets.sum() == other.test.targets.sum() == 15
    assert torch.equal(first.test.inputs["numeric"], same.test.inputs["numeric"])
    assert not torch.equal(first.test.inputs["numeric"], other.test.inputs["numeric"])
    with pytest.raises(DataError, match="between 0 and 1"):
        load(Task(data=frame), test_share=1.0)


# Prediction


def test_read_like_keeps_rows_and_order_and_ignores_the_rest(frame):
    data = load(Task(data=frame, test=frame))
    rows = frame[["color", "size"]].iloc[::-1].assign(more=1, label=None)
    rows.loc[rows.index[0], "color"] = "violet"
    rows.loc[rows.index[1], "size"] = None
    with pytest.warns(DataWarning) as caught:
        examples = read_like(data.schema, rows.drop(columns=["label"]))
    assert [str(each.message) for each in caught] == [
        "column 'color': 1 of 60 cells are no category of the model and count as unknown; the first "
        "is 'violet' in row 1"
    ]
    assert examples.targets is None
    assert len(examples) == 60
    assert examples.inputs["categorical"][0, 0] == 0
    assert examples.inputs["numeric"][1, 0].isnan()
    assert torch.equal(
        examples.inputs["numeric"][2:], data.development.inputs["numeric"].flip(0)[2:]
    )


def test_read_like_takes_one_row_and_other_types(frame):
    schema = load(Task(data=frame)).schema
    row = pd.DataFrame({"size": ["1.5"], "color": pd.Categorical(["red"])})
    assert read_like(schema, row).inputs["numeric"].tolist() == [[1.5]]


def test_categories_that_look_like_numbers_are_found_again():
    data = load(Task(data=with_column(["1", "2", "x", "y"] * 10)))
    typed = pd.DataFrame({"x": [1, 2], "c": [1.0, 2.0]})
    text = pd.DataFrame({"x": ["1", "2"], "c": ["1", "2"]})
    codes = [read_like(data.schema, rows).inputs["categorical"] for rows in (typed, text)]
    assert torch.equal(*codes)
    assert (codes[0] > 0).all()


def test_read_like_with_targets(frame):
    schema = load(Task(data=frame)).schema
    assert read_like(schema, frame, with_targets=True).targets.tolist() == [0, 1] * 30
    with pytest.raises(DataError, match="no target 'label'"):
        read_like(schema, frame.drop(columns=["label"]), with_targets=True)
    with pytest.raises(DataError, match=r"unknown class 'yess' \(did you mean 'yes'\?\)"):
        read_like(schema, frame.replace("yes", "yess"), with_targets=True)
    with pytest.raises(DataError, match=r"1 row\(s\) have no target .* row 3"):
        read_like(schema, frame.assign(label=["no", "yes", "?"] + ["no"] * 57), with_targets=True)


def test_read_like_names_the_missing_column(frame):
    schema = load(Task(data=frame)).schema
    with pytest.raises(DataError, match=r"no column 'color' \(did you mean 'colour'\?\)"):
        read_like(schema, frame.rename(columns={"color": "colour"}))
    with pytest.raises(DataError, match="the source is of the form arrays"):
        read_like(schema, np.zeros((3, 2)))


# Real data


@pytest.mark.parametrize(
    ("name", "target", "kind", "rows"),
    [
        ("wine-red.csv", None, "regression", 1599),
        ("boston-housing.csv", None, "regression", 506),
        ("horse-colic.csv", None, "binary", 300),
        ("beijing-pm25.csv", "pm2.5", "regression", 41757),
    ],
)
def test_shared_tables(shared, name, target, kind, rows):
    data = load(Task(data=shared(name), target=target))
    assert data.schema.kind == kind
    assert len(data.development) + len(data.test) == rows
    assert data.name == name.removesuffix(".csv")


def test_wine_as_classes(shared):
    schema = load(Task(data=shared("wine-red.csv"), kind="multiclass")).schema
    assert schema.classes == ("3", "4", "5", "6", "7", "8")


def test_adult_with_its_own_split(shared):
    data = load(Task(data=shared("adult-train.csv"), test=shared("adult-test.csv")))
    assert (len(data.development), len(data.test)) == (32561, 16281)
    assert data.schema.classes == ("<=50K", ">50K")
    assert column(data, "workclass").missing
    assert not column(data, "age").missing


def test_reviews_are_read_as_text(shared):
    data = load(Task(data=pd.read_csv(shared("movie-reviews.csv")).iloc[::10]))
    (text,) = data.schema.inputs
    assert text.shape == (1024,)
    assert text.tokens == 8 * len(data.development)
    assert (data.development.inputs["text"] > 0).any(1).all()


# Numbers as float32


@pytest.mark.parametrize("kind", [float, int])
def test_numbers_that_32_bits_hardly_tell_apart_are_named(kind):
    seconds = (1_700_000_000 + 60 * np.arange(120)).astype(kind)
    table = pd.DataFrame(
        {"time": seconds, "since": seconds - 1_700_000_000, "target": np.arange(120) % 7 * 0.5}
    )
    (note,) = load(Task(data=table)).notes
    assert note.startswith("column 'time': its numbers become 32 bits, which here are 128 apart")
    inputs = table[["since", "time"]].to_numpy(np.float64).copy()
    targets = table["target"].to_numpy().copy()
    for given in (inputs, torch.from_numpy(inputs)):
        (note,) = load(Task(data=(given, targets))).notes
        assert note.startswith("input 'x', place 1: its numbers become 32 bits")
    inputs[:5, 1] = np.nan, np.inf, 1e300, -np.inf, np.nan
    assert "place 1: its numbers become" in load(Task(data=(inputs, targets))).notes[0]
    years = table.assign(time=1_700_000_000 + 1_000_000 * np.arange(120))
    assert not any("32 bits" in note for note in load(Task(data=years)).notes)


def test_targets_that_32_bits_hardly_tell_apart_are_refused():
    """Scores would be of what rounding leaves of them."""
    spread = np.random.default_rng(0).normal(size=120)
    table = pd.DataFrame({"x": spread, "y": spread})
    for values, steps in (
        (2_460_000 + 0.05 * spread, "0.25"),
        (1e12 + 1e3 * spread, "65536"),
        (2**60 + 3 * np.arange(120), "1.37439e+11"),
        (1e-300 * spread, "1.4013e-45"),
    ):
        task = Task(data=table.assign(y=values), target="y", kind="regression")
        with pytest.raises(DataError) as raised:
            load(task)
        assert str(raised.value) == (
            f"target 'y': its numbers become 32 bits, which here are {steps} apart, coarse for what "
            "they spread by; take a constant off them, or change their unit"
        )
    far = 2_460_000 + 0.05 * spread
    for data in ((spread[:, None], far), (spread[:, None], np.stack([spread, far], 1))):
        with pytest.raises(DataError, match="become 32 bits, which here are"):
            load(Task(data=data))
    for values in (2_460_000 + 1e3 * spread, (1e12 + 1e6 * spread).astype(np.float32)):
        load(Task(data=table.assign(y=values), target="y"))


@pytest.mark.parametrize(
    "values", [2**60 + 3 * np.arange(40), 2**60 + np.arange(40), 1e-300 * np.arange(1, 41)]
)
def test_a_column_that_32_bits_do_not_tell_apart_is_not_called_constant(values):
    table = pd.DataFrame({"x": np.arange(40.0), "c": values, "target": np.arange(40) * 0.5})
    (note,) = load(Task(data=table)).notes
    assert note.startswith("column 'c' was left out: its numbers become 32 bits, which don't tell")
