"""A campaign from a recipe of the user's own, with few techniques and few epochs."""

from __future__ import annotations

from pathlib import Path

import pytest
from problems import frame

from pawl import Recipe, api
from pawl.errors import PawlError
from pawl.ledger import Ledger

OWN = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.05})


def test_it_starts_there_brings_in_no_more_and_resumes_so(tmp_path: Path) -> None:
    given = tmp_path / "own.toml"
    given.write_text(OWN.to_toml())
    rows = tmp_path / "rows.csv"
    frame(150).to_csv(rows, index=False)
    out = tmp_path / "out"
    first = api.optimize(
        str(rows), trials=6, epochs=2, out=out, baseline=given, only=["dropout", "ema"],
        deliver="proven",
    )  # fmt: skip
    assert "--only dropout,ema" in first.summary.command
    assert "--epochs 2" in first.summary.command
    assert "--deliver proven" in first.summary.command
    assert first.summary.evidence.deliver == "proven"
    assert (first.summary.delivered == "candidate") == first.summary.proven
    with pytest.raises(PawlError, match="started with the deliver 'proven', and got 'likely'"):
        api.optimize(resume=out, deliver="likely")
    assert str(given) in first.summary.command
    with Ledger.open(out) as ledger:
        trials = ledger.trials()
    recipes = [Recipe.from_dict(t.recipe) for t in trials]
    assert OWN in recipes
    names = {change.name for recipe in recipes for change in recipe.changes(OWN)}
    # Re-tuning an arm is part of the evidence, not of the search.
    searched = [Recipe.from_dict(t.recipe) for t in trials if t.phase == "search"]
    found = {change.name for recipe in searched for change in recipe.changes(OWN)}
    assert found == {"dropout", "ema"}
    assert names <= {"dropout", "ema", "sgd"}
    assert {t.epochs for t in trials if t.phase == "search"} == {2}
    given.unlink()  # what was given is in the ledger
    (out / "summary.json").unlink()
    again = api.optimize(resume=out)
    assert again.summary.techniques == first.summary.techniques
    assert again.summary.gain == first.summary.gain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"only": ["dropuot"]}, "unknown technique 'dropuot' (did you mean 'dropout'?)"),
        ({"only": []}, "give a list of names"),
        ({"only": "dropout"}, "give a list of names"),
        ({"only": ["flip"]}, "technique 'flip' does not fit this task"),
        ({"epochs": 0}, "got epochs=0; give a whole number, 1 or more"),
        ({"baseline": "missing.toml"}, "cannot read the recipe 'missing.toml'"),
        ({"baseline": OWN.with_("flip")}, "technique 'flip' does not fit this task"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    given: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PawlError) as error:
        api.optimize(frame(150), trials=2, out=tmp_path / "out", **given)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "\n" not in str(error.value)
