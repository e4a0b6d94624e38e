"""Windows over a table in order of time: what a row sees, and what it must not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.data import load, read_like, resolve_task
from pawl.data.types import Examples, LoadedData
from pawl.data.windows import WINDOW, before, num_seen
from pawl.errors import DataError, DataWarning, TaskError
from pawl.evidence.last_value import last_values
from pawl.execution.rows import Rows
from pawl.options import Call
from pawl.techniques.learning import number_columns
from pawl.training.problem import Problem


def frame(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    found = pd.DataFrame({"t": np.arange(rows), "a": random.normal(size=rows)})
    found["wind"] = random.choice(["n", "s", "w"], rows)
    found["y"] = random.normal(size=rows)
    return found


def loaded(table: pd.DataFrame, target: str = "y", **options) -> LoadedData:
    return load(resolve_task(table, target=target, **({"time": "t", "window": 3} | options)))


def everything(data: LoadedData) -> torch.Tensor:
    return torch.cat([data.development.inputs[WINDOW], data.test.inputs[WINDOW]])


def channel(data: LoadedData, name: str) -> int:
    return data.schema.inputs[-1].features.index(name)


def explained(data: LoadedData) -> float:
    """R2 on the test rows of least squares over all that a row sees."""

    def design(examples: Examples) -> np.ndarray:
        parts = [x.flatten(1).double() for x in examples.inputs.values()]
        return torch.cat([*parts, torch.ones(len(examples), 1)], 1).nan_to_num().numpy()

    x, z = design(data.development), design(data.test)
    y, truth = data.development.known_targets.numpy(), data.test.known_targets.numpy()
    slopes = np.linalg.lstsq(x, y, rcond=None)[0]
    return float(1 - ((truth - z @ slopes) ** 2).mean() / truth.var())


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40),
    times=st.integers(1, 20),
    series=st.integers(1, 4),
    steps=st.integers(1, 6),
    ahead=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_what_is_before_is_what_a_search_row_by_row_finds(
    rows, times, series, steps, ahead, seed
) -> None:
    random = np.random.default_rng(seed)
    keys, own = random.integers(0, times, rows), random.integers(0, series, rows)
    found = before(keys, own, steps, ahead)
    for row in range(rows):
        mine = np.flatnonzero(own == own[row])
        earlier = np.unique(keys[mine])[: np.searchsorted(np.unique(keys[mine]), keys[row])]
        allowed = set(earlier[: max(0, len(earlier) - ahead + 1)].tolist())
        seen = [
            place for place in mine[np.argsort(keys[mine], kind="stable")] if keys[place] in allowed
        ]
        wanted = seen[-steps:]
        assert found[row].tolist() == [-1] * (steps - len(wanted)) + [int(r) for r in wanted]


def test_a_row_sees_the_rows_before_it_with_their_targets() -> None:
    table = frame()
    data = loaded(table.sample(frac=1, random_state=1))
    windows, spec = everything(data), data.schema.inputs[-1]
    assert spec.shape == (3, 5)
    assert spec.features == ("a", *spec.features[1:4], "y")
    assert spec.missing == (False, False, False, False, True)
    numbers = torch.cat([data.development.inputs["numeric"], data.test.inputs["numeric"]])[:, 0]
    for row, time in enumerate(numbers.long().tolist()):
        seen = windows[row, :, channel(data, "y")]
        wanted = [table["y"][at] if at >= 0 else np.nan for at in range(time - 3, time)]
        assert np.allclose(seen, wanted, equal_nan=True)
        north = windows[row, -1, channel(data, "wind=n")]
        assert time == 0 or float(north) == float(table["wind"][time - 1] == "n")


def test_leakage_would_be_a_perfect_score_and_there_is_none() -> None:
    """The target of a row is in the column `a` of the row before it, and nowhere else."""
    table = frame(400)
    table["a"] = table["y"].shift(-1, fill_value=0.0)
    assert explained(loaded(table)) > 0.999
    assert explained(loaded(table, horizon=2)) < 0.1  # the row before is not known yet
    table["a"] = table["y"]  # only a row's own column would tell
    assert explained(loaded(table)) > 0.999
    assert explained(loaded(table, horizon=1)) < 0.1
    assert explained(loaded(table, horizon=1, known=["a"])) > 0.999
    table["a"] = 0.1 * table["a"].sample(frac=1, random_state=0).to_numpy()
    assert explained(loaded(table)) < 0.1


@pytest.mark.parametrize("ahead", [1, 4])
def test_what_comes_later_changes_no_window(ahead: int) -> None:
    table = frame()
    changed = table.copy()
    changed.loc[120:, ["a", "y"]] = -9.0
    one, other = (loaded(each, horizon=ahead) for each in (table, changed))
    assert torch.equal(
        one.development.inputs[WINDOW][: 120 + ahead].nan_to_num(),
        other.development.inputs[WINDOW][: 120 + ahead].nan_to_num(),
    )
    later = (
        one.development.inputs[WINDOW][120 + ahead] != other.development.inputs[WINDOW][120 + ahead]
    )
    assert later.any()


def test_rows_without_a_target_are_seen_and_teach_nothing() -> None:
    table = frame()
    table.loc[10:12, "y"] = np.nan
    data = loaded(table)
    numbers = data.development.inputs["numeric"][:, 0]
    assert not ((numbers >= 10) & (numbers <= 12)).any()
    window = data.development.inputs[WINDOW][int((numbers == 13).nonzero())]
    assert window[:, channel(data, "y")].isnan().all()
    assert np.allclose(window[:, channel(data, "a")], table["a"][10:13])


def test_windows_do_not_cross_series() -> None:
    parts = []
    for name, level in (("x", 0.0), ("z", 100.0)):
        part = frame(120).drop(columns="wind")
        parts.append(part.assign(shop=name, y=part["y"] + level))
    data = loaded(pd.concat(parts).sort_values("t"), group="shop")
    seen, targets = (
        everything(data),
        torch.cat([data.development.known_targets, data.test.known_targets]),
    )
    last = seen[:, -1, channel(data, "y")]
    known = ~last.isnan()
    assert int((~known).sum()) == 2
    assert torch.equal(last[known] > 50, targets[known] > 50)
    assert data.development.blocks is not None
    assert data.development.blocks.by == "time"
    assert "shop" in [column.name for column in data.schema.columns]


def test_rows_of_one_time_do_not_see_each_other() -> None:
    table = frame(120).drop(columns="wind")
    table["t"] //= 2
    data = loaded(table)
    assert any(
        "120 row(s) have the time" in n or "60 row(s) have the time" in n for n in data.notes
    )
    windows = everything(data)
    assert torch.equal(windows[2::2].nan_to_num(), windows[3::2].nan_to_num())


def test_times_are_told_apart_by_fractions_of_a_second() -> None:
    """Written or typed, on either side of 1970, as far as microseconds."""
    mixed = frame(120).sample(frac=1, random_state=0)
    wanted = everything(loaded(mixed))
    for start, step in (("2024-01-01", "100ms"), ("1969-12-31 23:59:59.5", "7ms"), ("1700", "us")):
        times = pd.date_range(start, periods=120, freq=step, unit="us")
        written = times.strftime("%Y-%m-%d %H:%M:%S.%f")
        for column in (times, times.tz_localize("Asia/Tokyo"), written):
            data = loaded(mixed.assign(t=column[mixed["t"]]))
            assert not any("time of another row" in note for note in data.notes)
            assert torch.equal(everything(data).nan_to_num(), wanted.nan_to_num())


def test_gaps_in_time_are_said() -> None:
    table = frame()
    table = table[(table["t"] < 100) | (table["t"] >= 150)]
    assert any(
        "1 of 189 steps in time are longer than usual" in note for note in loaded(table).notes
    )
    days = table.assign(year=2020, month=1 + table["t"] // 20, day=1 + table["t"] % 20, hour=0)
    notes = loaded(days.drop(columns="t"), time="year,month,day,hour").notes
    assert any("steps in time are longer" in note for note in notes)


def test_several_columns_are_a_time_and_a_comma_may_be_in_a_name() -> None:
    table = frame().assign(day=lambda rows: rows["t"] // 24, hour=lambda rows: rows["t"] % 24)
    both = loaded(table.drop(columns="t").sample(frac=1, random_state=0), time=["day", "hour"])
    one = loaded(table)
    order = (
        both.development.inputs["numeric"][:, -2] * 24 + both.development.inputs["numeric"][:, -1]
    )
    assert torch.equal(
        both.development.inputs[WINDOW][order.argsort(), :, -1].nan_to_num(),
        one.development.inputs[WINDOW][..., -1].nan_to_num(),
    )
    named = table.rename(columns={"t": "day, hour"})
    assert loaded(named, time="day, hour").schema.window.time == ("day, hour",)


def test_what_is_held_out_comes_after_a_gap_as_long_as_the_horizon() -> None:
    ahead = 7
    task = resolve_task(frame(600), target="y", time="t", window=3, horizon=ahead)
    data = load(task)
    blocks, test = data.development.blocks, data.test.blocks
    assert int(test.keys.min()) - int(blocks.keys.max()) == ahead
    rows = Rows(Problem.of(task, data), 0)
    train, valid = rows.search
    assert int(blocks.keys[valid].min()) - int(blocks.keys[train].max()) == ahead
    split = rows.resplit("confirm", 0, rows.parts[1], 3)
    assert int(blocks.keys[split.holdout].min()) - int(blocks.keys[split.valid].max()) == ahead
    assert int(blocks.keys[split.valid].min()) - int(blocks.keys[split.train].max()) == ahead


def test_a_file_of_test_rows_goes_on_where_the_data_ends() -> None:
    table = frame()
    data = load(resolve_task(table[:200], target="y", time="t", window=3, test=table[200:]))
    assert np.allclose(data.test.inputs[WINDOW][0, :, -1], table["y"][197:200])
    shuffled = table.sample(frac=1, random_state=0)
    apart = load(resolve_task(shuffled[:200], target="y", time="t", window=3, test=shuffled[200:]))
    assert any("see test rows alone" in note for note in apart.notes)
    own = set(shuffled["y"][200:].astype(np.float32).tolist())
    seen = apart.test.inputs[WINDOW][..., -1]
    assert {float(x) for x in seen[~seen.isnan()]} <= own


def test_new_rows_are_read_with_what_the_file_has_before_them() -> None:
    table = frame()
    data = loaded(table)
    table["y"] = [f"{y:.9g}" for y in table["y"]]
    table.loc[239, "y"] = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read_like(data.schema, table)
    assert any("3 row(s) have fewer than 3 rows before them" in str(w.message) for w in caught)
    assert torch.allclose(
        rows.inputs[WINDOW].nan_to_num(), everything(data).nan_to_num(), atol=1e-6
    )
    with pytest.warns(DataWarning):
        some = read_like(data.schema, table, with_targets=True)
    assert len(some) == 239
    with pytest.raises(DataError, match="looks at targets of earlier rows"):
        read_like(data.schema, table.drop(columns="y"))
    with pytest.raises(DataError, match="no column 't'"):
        read_like(data.schema, table.drop(columns="t"))


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_classes_are_columns_of_a_step(classes: tuple[str, ...]) -> None:
    table = frame()
    table["y"] = [classes[number % len(classes)] for number in range(len(table))]
    table.loc[50, "y"] = None
    data = loaded(table)
    assert data.schema.inputs[-1].features[num_seen(data.schema) :] == tuple(
        f"y={name}" for name in classes[len(classes) == 2 :]
    )
    new = table.astype({"y": object})
    new.loc[100, "y"] = "unheard of"
    with pytest.warns(DataWarning):
        rows = read_like(data.schema, new)
    assert rows.inputs[WINDOW][101, -1, -1].isnan()
    said = last_values(data.schema, data.development, data.test)
    assert said is not None
    assert said.shape == (len(data.test), len(classes))
    right = (said.argmax(1) == data.test.known_targets).double().mean()
    assert right > 0.95  # a class says which is next


def test_the_last_value_is_the_last_that_is_known() -> None:
    table = frame()
    table.loc[236:238, "y"] = np.nan
    table.loc[230, "y"] = np.nan
    data = loaded(table, window=5)
    said = last_values(data.schema, data.development, data.test)
    assert said is not None
    assert float(said[-1]) == pytest.approx(table["y"][235])
    by_time = dict(zip(data.test.inputs["numeric"][:, 0].tolist(), said.tolist(), strict=True))
    assert by_time[231.0] == pytest.approx(table["y"][229])
    first = last_values(data.schema, data.development, data.development)
    assert float(first[0]) == pytest.approx(float(data.development.known_targets.mean()), abs=1e-5)
    assert last_values(load(resolve_task(table, target="y")).schema, data.test, data.test) is None


def test_categories_of_which_there_are_many_are_not_seen_before() -> None:
    table = frame(600)
    table["wind"] = [f"w{number % 20}" for number in range(len(table))]
    data = loaded(table)
    assert data.schema.inputs[-1].features == ("a", "y")
    assert any("more than 16 categories" in note for note in data.notes)


def test_learners_know_which_numbers_of_a_step_are_quantities() -> None:
    table = frame()
    table.loc[5, "a"] = np.nan
    data = loaded(table)
    spec = Problem.of(resolve_task(table, target="y", time="t", window=3), data).spec
    columns = number_columns(spec)
    width = 5 + 2  # two of a step may be missing
    own = 2 + 1 + 4  # numbers, a flag, categories
    assert columns == (0, 1, *(own + step * width + at for step in range(3) for at in range(5)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 3}, "without a time column"),
        ({"time": "t", "horizon": 3}, "without a window"),
        ({"time": "t", "window": 3, "known": "a"}, "without a horizon"),
        ({"time": "t", "group": "wind"}, "or a window as well"),
        ({"time": "t", "window": 0}, "from 1 to 1000"),
    ],
)
def test_options_that_lack_another_are_refused(options: dict, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        resolve_task(frame(), target="y", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"time": "t,b"}, "no time column 'b'"),
        ({"horizon": 2, "known": "b"}, "no column known ahead 'b'"),
        ({"group": "shop"}, "no group column 'shop'"),
        ({"time": "y"}, "is the target"),
        ({"time": "wind"}, "neither numbers nor dates"),
        ({"horizon": 600}, "no rows are left to train on"),
    ],
)
def test_columns_that_are_not_there_are_named(options: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        loaded(frame(), **options)


def test_a_window_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAWL_MEMORY", "1kb")
    with pytest.raises(DataError, match="give a shorter one"):
        loaded(frame())


def test_a_window_longer_than_the_table_is_refused() -> None:
    with pytest.raises(
        TaskError, match="got a window of 301 rows, and the table has 300; give a sho"
    ):
        loaded(frame(300), window=301)


def test_arrays_have_no_windows() -> None:
    x = {"t": np.arange(100), "a": np.random.default_rng(0).normal(size=100)}
    with pytest.raises(DataError, match="for tables alone"):
        load(resolve_task((x, x["a"]), time="t", window=3))


def test_several_times_repeat_as_they_were_given() -> None:
    assert Call(time=["year,month"], window=3).time == "year,month"
    assert Call(time=["year", "month"]).time == ("year", "month")
    with pytest.raises(TaskError, match="got no time column"):
        Call(time=[])
