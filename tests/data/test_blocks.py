"""Rows that come in groups or in order of time: how they are read, split and dealt."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.data import Blocks, fold_rows, load, notes_on_copies, read_like, resolve_task, split_rows
from pawl.errors import DataError, TaskError
from pawl.execution.rows import Rows
from pawl.training.problem import Problem


def frame(rows: int = 400, groups: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(0)
    found = pd.DataFrame(random.normal(size=(rows, 3)), columns=list("abc"))
    found["patient"] = random.integers(0, groups, rows)
    days = pd.to_timedelta(random.integers(0, 200, rows), unit="D")
    found["day"] = (pd.to_datetime("2021-01-01") + days).strftime("%Y-%m-%d")
    found["y"] = (found["a"] + random.normal(size=rows) > 0).astype(int)
    return found


def problem(**options) -> Problem:
    task = resolve_task(frame(), target="y", **options)
    return Problem.of(task, load(task))


def keys(blocks: Blocks, rows: torch.Tensor) -> set[int]:
    return set(blocks.keys[rows].tolist())


@settings(deadline=None, max_examples=60)
@given(
    groups=st.integers(4, 60),
    rows=st.integers(60, 300),
    share=st.floats(0.1, 0.7),
    seed=st.integers(0, 1000),
)
def test_no_group_is_on_both_sides(groups, rows, share, seed):
    random = np.random.default_rng(seed)
    blocks = Blocks("group", "g", torch.from_numpy(random.integers(0, groups, rows)))
    targets = torch.from_numpy(random.integers(0, 2, rows))
    rest, held = split_rows(targets, "binary", share, seed, blocks=blocks)
    assert not keys(blocks, rest) & keys(blocks, held)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(rows))
    again = split_rows(targets, "binary", share, seed, blocks=blocks)
    assert torch.equal(again[1], held)
    folds = fold_rows(targets, "binary", 3, seed, rows=torch.arange(rows), blocks=blocks)
    assert sum(len(fold) for fold in folds) == len(set(torch.cat(folds).tolist()))
    for fold in folds:
        assert not keys(blocks, fold) & keys(blocks, blocks.others(fold))


@settings(deadline=None, max_examples=60)
@given(
    times=st.integers(4, 60),
    rows=st.integers(60, 300),
    share=st.floats(0.1, 0.7),
    seed=st.integers(0, 1000),
)
def test_what_is_held_out_is_later_than_what_trains(times, rows, share, seed):
    random = np.random.default_rng(seed)
    blocks = Blocks("time", "t", torch.from_numpy(random.integers(0, times, rows)))
    targets = torch.from_numpy(random.normal(size=rows)).float()
    rest, held = split_rows(targets, "regression", share, seed, blocks=blocks)
    assert blocks.keys[rest].max() < blocks.keys[held].min()  # equal times are not cut
    folds = fold_rows(targets, "regression", 3, seed, rows=held, blocks=blocks)
    for fold in folds:
        assert blocks.keys[blocks.others(fold)].max() < blocks.keys[fold].min()
    for earlier, later in pairwise(folds):
        assert blocks.keys[earlier].max() < blocks.keys[later].min()


def test_groups_give_about_the_share_that_is_wanted_and_keep_proportions():
    random = np.random.default_rng(1)
    blocks = Blocks("group", "g", torch.arange(200).repeat_interleave(5))
    targets = torch.from_numpy(random.random(200) < 0.1).long().repeat_interleave(5)
    for seed in range(20):
        rest, held = split_rows(targets, "binary", 0.2, seed, blocks=blocks)
        assert len(held) == 200
        shares = [float(targets[part].float().mean()) for part in (rest, held)]
        assert abs(shares[0] - shares[1]) < 0.02


def test_units_are_groups_and_stretches_of_time():
    groups = Blocks("group", "g", torch.tensor([7, 3, 7, 9]))
    assert groups.units.tolist() == [1, 0, 1, 2]
    time = Blocks("time", "t", torch.arange(1000).flip(0))
    assert len(torch.unique(time.units)) == 50
    assert (time.units[:20] == 49).all()
    assert (time.units[-20:] == 0).all()


def test_the_group_is_no_feature_and_new_rows_need_none():
    task = resolve_task(frame(), target="y", group="patient")
    data = load(task)
    assert "patient" not in [column.name for column in data.schema.columns]
    assert not keys(data.development.blocks, torch.arange(len(data.development))) & keys(
        data.test.blocks, torch.arange(len(data.test))
    )
    assert any("stay together" in note for note in data.notes)
    assert len(read_like(data.schema, frame().drop(columns=["patient", "y"]))) == 400
    other = load(resolve_task(frame(), target="y", group="day"))
    assert other.fingerprint != data.fingerprint


@pytest.mark.parametrize("options", [{"group": "patient"}, {"time": "day"}])
def test_all_parts_of_a_campaign_are_held_apart(options):
    found = problem(**options)
    rows, blocks = Rows(found, 3), found.blocks
    selection, proof = rows.parts
    assert not keys(blocks, selection) & keys(blocks, proof)
    pairs = [(*rows.search, rows.search[1])]
    for purpose, part in (
        ("race", selection),
        ("confirm", proof),
        ("all", torch.arange(len(found.targets))),
    ):
        folds = rows.num_folds(part)
        assert folds >= 2
        for index in range(7):
            split = rows.resplit(purpose, index, part, folds)
            pairs += [(split.train, split.valid, split.holdout)]
            pairs += [(split.valid, split.valid, split.holdout)]
    for train, valid, holdout in pairs:
        assert min(len(train), len(valid), len(holdout)) > 0
        assert not keys(blocks, train) & keys(blocks, holdout)
        if blocks.by == "time":
            assert blocks.keys[train].max() < blocks.keys[holdout].min()


def test_arrays_name_one_of_them():
    table = frame()
    arrays = {"x": table[["a", "b", "c"]].to_numpy(), "patient": table["patient"].to_numpy()}
    data = load(resolve_task((arrays, table["y"].to_numpy()), group="patient"))
    assert [spec.name for spec in data.schema.inputs] == ["x"]
    assert data.development.blocks.by == "group"
    assert len(read_like(data.schema, ({"x": arrays["x"]}, None))) == 400


def test_test_rows_given_apart_may_be_of_known_groups():
    table = frame()
    data = load(resolve_task(table, target="y", group="patient", test=table.iloc[:50]))
    assert any("50 test row(s) are of a 'patient'" in note for note in data.notes)
    without = table.iloc[:50].drop(columns="patient")
    assert load(resolve_task(table, target="y", group="patient", test=without)).test.blocks is None


def test_copies_are_counted():
    table = frame(300).drop(columns=["patient", "day"])
    assert not any(
        "another row" in n for n in notes_on_copies(load(resolve_task(table, target="y")))
    )
    twice = pd.concat([table, table.iloc[:60]], ignore_index=True)
    (note,) = [
        n for n in notes_on_copies(load(resolve_task(twice, target="y"))) if "another row" in n
    ]
    assert "60 of 360 rows (17%)" in note


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": "nothing"}, "no group column 'nothing'"),
        ({"group": "one"}, "has 1 different value(s); at least 8"),
        (
            {"group": "gaps"},
            "1 row(s) have no value in the group column 'gaps', the first is row 6",
        ),
        ({"group": "y"}, "is the target"),
        ({"group": "of_class"}, "the class '1' comes in 2 group(s) of 'of_class'"),
        ({"time": "one"}, "has 1 different value(s); at least 20"),
        ({"time": "gaps"}, "1 row(s) have no value in the time column"),
        ({"time": "word"}, "neither numbers nor dates"),
    ],
)
def test_columns_that_cannot_say_it(options, words):
    table = frame()
    table["one"] = 1
    table["gaps"] = np.where(np.arange(400) == 5, np.nan, np.arange(400))
    table["word"] = [f"word {n}" for n in range(400)]
    table["of_class"] = np.where(table["y"] == 1, table["patient"] % 2, table["patient"] + 2)
    with pytest.raises(DataError) as raised:
        load(resolve_task(table, target="y", **options))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_arrays_of_times_and_groups_keep_all_their_digits():
    x, y = np.random.default_rng(0).normal(size=(2, 240, 1))
    times, patients = 1.7e9 + np.arange(240), 1e12 + np.arange(240) // 4
    for made in (np.asarray, torch.from_numpy):
        arrays = {"x": x[:200], "t": made(times[:200]), "g": made(patients[:200])}
        later = {"x": x[200:], "t": made(times[200:]), "g": made(patients[200:])}
        more = {"test": (later, y[200:, 0])}
        for options, count in (({}, 200), (more, 240)):
            data = load(resolve_task((arrays, y[:200, 0]), time="t", **options))
            own = [part.blocks.keys for part in (data.development, data.test)]
            assert len(torch.cat(own).unique()) == count
            assert own[0].max() < own[1].min()
        groups = load(resolve_task((arrays, y[:200, 0]), group="g", **more))
        assert any("(50 of them)" in note for note in groups.notes)
        assert not any("test row(s) are of" in note for note in groups.notes)
        assert {each.dtype for each in data.development.inputs.values()} == {torch.float32}


def test_options_that_do_not_go_together():
    with pytest.raises(TaskError, match="give one of them"):
        resolve_task(frame(), target="y", group="patient", time="day")
    with pytest.raises(DataError, match="'time' for images; it is for tables and arrays alone"):
        load(resolve_task("digits", time="day"))
    with pytest.raises(DataError, match="told by the files of images"):
        load(resolve_task("digits", group="patient"))
    x = np.zeros((40, 3), np.float32)
    with pytest.raises(DataError, match="no group column 'g'"):
        load(resolve_task((x, np.arange(40) % 2), group="g"))
    with pytest.raises(DataError, match="one value for each row"):
        load(resolve_task(({"x": x, "g": x}, np.arange(40) % 2), group="g"))
