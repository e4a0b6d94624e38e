"""The commands for recipes on their own: train one, compare two, diagnose a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.options import AsJson, Source, with_options
from pawl.cli.phases import phases
from pawl.options import CompareCall, DiagnoseCall, TrainCall


@with_options(TrainCall)
def train(
    given: dict[str, Any],
    source: Source,
    recipe: Annotated[Path, typer.Option(help="TOML file with one table per technique.")],
    as_json: AsJson = False,
) -> None:
    """Train one recipe, score it on the test rows, and leave a bundle.

    Example: pawl train adult.csv --target income --recipe recipe.toml --out trained
    """
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    with phases() as listener:
        result = single.train(source, Recipe.read(recipe), **given, listener=listener)
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.trained(result, result.folder / "bundle")


@with_options(CompareCall)
def compare(
    given: dict[str, Any],
    source: Source,
    first: Annotated[Path, typer.Argument(help="TOML file of a recipe.")],
    second: Annotated[
        Path, typer.Argument(help="TOML file of the recipe that a positive effect favors.")
    ],
    as_json: AsJson = False,
) -> None:
    """Compare two recipes by a paired test in repeated cross-validation.

    Example: pawl compare adult.csv a.toml b.toml --target income
    """
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    recipes = Recipe.read(first), Recipe.read(second)
    with phases() as listener:
        result = single.compare(source, *recipes, **given, listener=listener)
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.compared(first, second, result)


@with_options(DiagnoseCall)
def diagnose(
    given: dict[str, Any],
    source: Source,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with your data and with a training on it, and what may mend it.

    Example: pawl diagnose adult.csv --target income
    """
    from pawl import single  # noqa: PLC0415

    with phases() as listener:
        result = single.diagnose(source, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json())
        return
    show.diagnosed(result)
