"""One field is an option everywhere: Python's signature and help, the commands, the records."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from terminal import run_here

import pawl
from pawl.errors import PawlError, TaskError, command_line_words
from pawl.options import (
    Call,
    CompareCall,
    DiagnoseCall,
    ExplainCall,
    FindBatchSizeCall,
    FindRateCall,
    Options,
    OptionsModel,
    PlanOptions,
    TrainCall,
    in_order,
)
from pawl.recipe import Recipe

FACES: dict[str, tuple[Any, type[OptionsModel], int]] = {
    "optimize": (pawl.optimize, Call, 2),
    "train": (pawl.train, TrainCall, 2),
    "compare": (pawl.compare, CompareCall, 3),
    "explain": (pawl.explain, ExplainCall, 2),
    "diagnose": (pawl.diagnose, DiagnoseCall, 1),
    "find_rate": (pawl.find_rate, FindRateCall, 2),
    "find_batch_size": (pawl.find_batch_size, FindBatchSizeCall, 2),
}
NAMES = st.text("abc_", min_size=1, max_size=5)
OPTIONS = st.builds(
    dict,
    target=st.none() | NAMES,
    kind=st.sampled_from([None, "binary", "regression"]),
    trials=st.none() | st.integers(1, 99),
    only=st.none() | st.lists(NAMES, min_size=1, max_size=3),
    epochs=st.none() | st.integers(1, 99),
    executor=st.sampled_from([None, "auto", "inline"]),
    average=st.none() | st.integers(1, 10),
    deliver=st.sampled_from([None, "likely", "proven"]),
    seed=st.none() | st.integers(0, 2**63 - 1),
    ignore=st.none() | st.lists(NAMES, max_size=3),
    types=st.none() | st.dictionaries(NAMES, st.sampled_from(["numeric", "date"]), max_size=3),
)


@pytest.mark.parametrize("name", FACES)
def test_a_function_takes_its_models_fields_and_tells_of_each(name: str) -> None:
    function, model, own = FACES[name]
    parameters = list(inspect.signature(function).parameters.values())
    assert [each.name for each in parameters[own:]] == in_order(model)
    assert {each.kind for each in parameters[own:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert "Annotated" not in str(inspect.signature(function))
    arguments = inspect.getdoc(function).split("Args:")[1].split("Raises:")[0]
    for each in parameters:
        assert f"\n    {each.name}: " in arguments


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("optimize", Call),
        ("train", TrainCall),
        ("compare", CompareCall),
        ("explain", ExplainCall),
        ("diagnose", DiagnoseCall),
        ("find-rate", FindRateCall),
        ("find-batch-size", FindBatchSizeCall),
        ("doctor", PlanOptions),
    ],
)
def test_a_command_has_an_option_for_each_field(
    command: str, model: type[OptionsModel], capfd: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = run_here(capfd, command, "-h")
    assert code == 0
    assert set(in_order(model)) == set(model.model_fields)
    for name in set(in_order(model)) - {"listener", "started", "model"}:
        assert f"--{name.replace('_', '-')} " in told
    assert "--listener" not in told


@settings(max_examples=60, deadline=None)
@given(OPTIONS)
def test_records_and_commands_give_the_same_options_again(drawn: dict[str, Any]) -> None:
    options = Options(**drawn)
    record = options.record()
    assert Options(**{name: value for name, value in record.items() if value}).record() == record
    again = options.repeated()
    assert Options(
        **{**again, **({"only": again["only"].split(",")} if "only" in again else {})}
    ) == (options if options.trials else options.model_copy(update={"budget": "10m"}))
    differing = {name for name in again if name not in ("budget", "trials")}
    assert all(getattr(options, name) != Options.model_fields[name].default for name in differing)


def test_what_json_cannot_hold_is_named_and_left_out(tmp_path: Path) -> None:
    recipe = Recipe.of(sgd={})
    options = Options(metric=max, test=np.zeros(3), baseline=recipe, budget="1m30s", positive=1)
    record = options.record()
    assert options.objects() == ["metric", "test"]
    assert "metric" not in record
    assert set(options.repeated()) == {"metric", "test", "budget", "baseline", "positive"}
    assert record["baseline"] == recipe.to_dict()
    assert (record["budget"], record["positive"]) == (90.0, "1")
    assert Options(test=tmp_path).record()["test"] == str(tmp_path)
    assert Options(trials=2).seconds is None
    assert Options().seconds == 600.0


@pytest.mark.parametrize(
    ("given_", "words", "words_there"),
    [
        ({"trials": 0}, "got trials=0; give a whole number, 1 or more", "got --trials 0"),
        ({"trials": True}, "got trials=True; give a whole number", ""),
        ({"seed": -1}, "got seed=-1; give a whole number from 0 to 2**63 - 1", "got --seed -1"),
        (
            {"deliver": "provn"},
            "(did you mean 'proven'?); allowed are 'likely' or",
            "--deliver provn",
        ),
        ({"budgt": 1}, "got the unknown option 'budgt' (did you mean 'budget'?)", ""),
        ({"target": 1.5}, "got target=1.5; give a text", ""),
        ({"accept_changes": "maybe"}, "got accept_changes='maybe'", ""),
    ],
)
def test_what_is_wrong_is_one_line_in_the_faces_words(
    given_: dict[str, Any], words: str, words_there: str
) -> None:
    with pytest.raises(TaskError) as caught:
        Call(**given_)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    with command_line_words(), pytest.raises(PawlError) as caught:
        Call(**given_)
    assert words_there in str(caught.value)


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    assert Options(trials=np.int64(3), seed=np.int32(1)).record()["trials"] == 3
    assert type(Options(seed=np.int64(1)).seed) is int
