"""What people read: nothing that a terminal obeys, and options in the words of the face in use."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pandas as pd
import pytest
from problems import frame
from terminal import run_here as run

import pawl
from pawl import api
from pawl.errors import DataError, LedgerError, PawlError, command_line_words, option, printable
from pawl.recipe import Recipe
from pawl.result import load
from pawl.training.program import Namespace

ESCAPE = "\x1b[31m\x07\x9b2J"
PLAIN = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.05})


def clean(text: str) -> bool:
    return printable(text.replace("\n", "")) == text.replace("\n", "")


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A file `t.csv` whose columns and classes hold escape sequences."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    rows = frame().rename(columns={"age": f"a{ESCAPE}"})
    rows["target"] = rows["target"].replace({"yes": f"y{ESCAPE}"})
    rows.to_csv("t.csv", index=False)
    Path("r.toml").write_text(PLAIN.to_toml())
    return rows


def test_escape_sequences_of_files_reach_neither_terminal_nor_header(
    table: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ("train", "t.csv", "--recipe", "r.toml", "--out", f"o{ESCAPE}"),
        ("train", "t.csv", "--recipe", "r.toml", "--out", "j", "--json"),
        ("predict", f"o{ESCAPE}", "t.csv", "--out", f"p{ESCAPE}.csv"),
    ):
        code, out, error = run(capfd, *arguments)
        assert code == 0, error
        assert clean(out + error), (out, error)
    table.drop(columns=f"a{ESCAPE}").to_csv("less.csv", index=False)
    table[f"a{ESCAPE}"] = f"tall{ESCAPE}"
    table.to_csv("odd.csv", index=False)
    code, out, _ = run(capfd, "predict", "j", "odd.csv", "--out", "odd-p.csv")
    assert code == 0
    assert clean(out)
    assert r"a\x1b[31m\x07\x9b2J" in out
    code, _, error = run(capfd, "predict", "j", "less.csv", "--out", "q.csv")
    assert code == 2
    assert clean(error)
    written = pd.read_csv(f"p{ESCAPE}.csv")
    assert list(written.columns) == ["prediction", "p_no", r"p_y\x1b[31m\x07\x9b2J"]
    assert set(written["prediction"]) <= {"no", f"y{ESCAPE}"}  # labels are as they were given


@pytest.mark.parametrize(
    "arguments",
    [
        ("optimize", "t.csv", "--target", ESCAPE),
        ("optimize", "t.csv", "--metric", ESCAPE),
        ("optimize", f"{ESCAPE}.csv"),
        ("optimize", f"{ESCAPE}.py"),
        ("optimize", "t.csv", "--trials", ESCAPE),
        ("optimize", "t.csv", "--budget", ESCAPE),
        ("optimize", "--resume", ESCAPE),
        ("techniques", ESCAPE),
        (ESCAPE,),
    ],
)
def test_escape_sequences_of_options_do_not_reach_the_terminal(
    arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capfd, *arguments)
    assert code == 2
    assert clean(out + error), (out, error)
    assert r"\x1b" in error


def test_errors_are_one_line_without_controls_in_python_too() -> None:
    error = DataError("column 'a\x1b[2J\nb\u202e'")
    assert str(error) == r"column 'a\x1b[2J\nb\u202e'"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_options_are_named_as_they_are_given(capfd: pytest.CaptureFixture[str]) -> None:
    assert (option("out"), option("budget", "10m")) == ("out=", "budget='10m'")
    with command_line_words():
        assert (option("out"), option("budget", "10m")) == ("--out", "--budget 10m")
    Path("taken").mkdir()
    Path("taken/ledger.sqlite").touch()
    for call in (
        lambda: api.optimize("t.csv", trials=1, out="taken"),
        lambda: api.optimize(resume="nowhere"),
        lambda: load("taken"),
        lambda: api.optimize("t.csv", budget=0.5, out="short"),
        lambda: api.optimize("t.csv", trials=1, device="cuda", executor="processes"),
    ):
        with pytest.raises(PawlError) as caught:
            call()
        assert "--" not in str(caught.value)
        assert "=" in str(caught.value)
    with pytest.raises(LedgerError, match=r"go on with it by resume='taken', or give another out="):
        api.optimize("t.csv", trials=1, out="taken")
    code, _, error = run(capfd, "optimize", "t.csv", "--trials", "1", "--out", "taken")
    assert code == 2
    assert "go on with it by --resume taken, or give another --out" in error


def test_dir_shows_the_public_names() -> None:
    assert set(pawl.__all__) <= set(dir(pawl))


def test_settings_that_are_not_there_raise_attribute_error() -> None:
    settings = Namespace({"rate": 0.5})
    assert settings.rate == 0.5
    assert not hasattr(settings, "nothing")
    assert copy.deepcopy(settings).rate == 0.5
    assert pickle.loads(pickle.dumps(settings)).rate == 0.5
