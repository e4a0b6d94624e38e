"""The commands: each hands its arguments to the Python face and shows what comes back."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl import budget as budgets
from pawl.cli import show
from pawl.cli.options import AsJson, OptionalSource, Source, with_options
from pawl.cli.serving import serve
from pawl.errors import DataWarning, TaskError, option
from pawl.options import (
    Call,
    CompareCall,
    CompressCall,
    ExplainCall,
    PlanOptions,
    TrainCall,
    TuneCall,
)

_STARTED = time.monotonic()

app = typer.Typer(
    help="Optimize deep-learning models, and tell what is better from what is shown to be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    from pawl.progress import TerminalProgress  # noqa: PLC0415

    warnings.filterwarnings("ignore")  # other libraries' advice is not the user's business
    # What the user's own code prints must not end up in what is printed as the result.
    with contextlib.redirect_stdout(sys.stderr), TerminalProgress() as listener:
        yield listener


@app.command()
@with_options(Call)
def optimize(
    ctx: typer.Context,
    given: dict[str, Any],
    source: OptionalSource = None,
    as_json: AsJson = False,
) -> None:
    """Find what improves a model on your data, prove it, and leave a model to deploy.

    Example: pawl optimize adult.csv --target income --budget 10m
    """
    from pawl import api  # noqa: PLC0415
    from pawl.ledger import new_folder  # noqa: PLC0415

    call = Call(**given)
    with contextlib.ExitStack() as stack:
        if call.out is None and call.resume is None and source is not None:
            given["out"] = stack.enter_context(new_folder(source))
        if folder := call.resume or given.get("out"):
            ctx.obj.tell(folder=str(Path(folder).absolute()), command="optimize")
        if limits := api.limits(call):
            ctx.obj.tell(budget=limits[0], seconds=limits[1])
        listener = stack.enter_context(_progress())
        result = api.optimize(source, **given, listener=listener, started=_STARTED)
    if as_json:
        show.json_text(result.summary.to_json())
        return
    show.campaign(result)


@app.command()
@with_options(TuneCall)
def tune(
    ctx: typer.Context,
    given: dict[str, Any],
    task: Annotated[
        str | None, typer.Argument(help="module.py[:name] that has a pawl.FunctionTask.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what improves a plain function of settings and a seed, and prove it over seeds.

    Example: pawl tune experiment.py --budget 10m
    """
    from pawl.functions import tune as run  # noqa: PLC0415

    call = TuneCall(**given)
    if folder := call.resume or call.out:
        ctx.obj.tell(folder=str(Path(folder).absolute()), command="tune")
    if call.resume is None and call.seconds is not None:
        ctx.obj.tell(budget=call.seconds, seconds=call.seconds + budgets.grace(call.seconds))
    with _progress() as listener:
        result = run(task, **given, listener=listener, started=_STARTED)
    if as_json:
        show.json_text(result.summary.to_json())
        return
    show.tuned(result)


@app.command()
@with_options(TrainCall)
def train(
    given: dict[str, Any],
    source: Source,
    recipe: Annotated[Path, typer.Option(help="TOML file with one table per technique.")],
    as_json: AsJson = False,
) -> None:
    """Train one recipe, score it on the test rows, and leave a bundle."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    with _progress() as listener:
        result = single.train(source, Recipe.read(recipe), **given, listener=listener)
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.trained(result, result.folder / "bundle")


@app.command()
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
    """Compare two recipes by a paired test in repeated cross-validation."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    recipes = Recipe.read(first), Recipe.read(second)
    with _progress() as listener:
        result = single.compare(source, *recipes, **given, listener=listener)
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.compared(first, second, result)


@app.command()
@with_options(CompressCall)
def compress(
    given: dict[str, Any],
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    data: Annotated[
        str, typer.Argument(help="Rows in the form of the training data, with targets.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a bundle smaller and faster, as far as it is shown to lose less than --max-loss.

    Example: pawl compress runs/adult-20261129 adult.csv --max-loss 0.5% --out small
    """
    from pawl.compression import compress as run  # noqa: PLC0415

    with _progress() as listener:
        result = run(bundle, data, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json())
        return
    show.compressed(result)


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    data: Annotated[
        str,
        typer.Argument(help="Rows in the form of the training data; the target may be missing."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="CSV or Parquet file to write: prediction, and p_CLASS per class; a column for each of "
            "several targets; .npz where predictions lie on places of a row."
        ),
    ],
) -> None:
    """Predict with a bundle: one row per input row. Tables may be larger than memory."""
    from pawl.deployment import Bundle, write_predictions  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught, show.bar("predicted") as progress:
        warnings.simplefilter("always", DataWarning)
        rows = write_predictions(Bundle.open(bundle), data, out, progress=progress)
    show.line(f"{rows} predictions in {out}")
    for each in caught:
        if issubclass(each.category, DataWarning):
            show.line(f"note: {each.message}")


@app.command()
@with_options(ExplainCall)
def explain(
    given: dict[str, Any],
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    data: Annotated[
        str,
        typer.Argument(
            help="Rows in the form of the training data, best ones that the model has not seen."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Explain what a bundle's model does, with evidence for each explanation.

    Example: pawl explain runs/adult adult-test.csv --out explained
    """
    from pawl.explaining import explain as run  # noqa: PLC0415

    if given.get("out") is None and not as_json:
        raise TaskError(
            f"{option('out')} is missing; give a folder for explain.json and explain.html"
        )
    with _progress() as listener:
        found = run(bundle, data, **given, listener=listener, started=_STARTED)
    if as_json:
        show.json_text(found.explanation.to_json())
        return
    show.explained(found)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A finished campaign's folder.")],
    as_json: AsJson = False,
) -> None:
    """Write a finished campaign's report.html anew, and say where it is."""
    from pawl.result import Result, load  # noqa: PLC0415

    result = load(folder)
    if as_json:
        show.json_text(result.summary.to_json())
        return
    result.render()
    if isinstance(result, Result):
        show.campaign(result)
    else:
        show.tuned(result)


@app.command()
def techniques(
    name: Annotated[str | None, typer.Argument(help="Show this one with its settings.")] = None,
    stage: Annotated[
        str | None, typer.Option(help="Only of this stage: data, model, batch, loss, ...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the techniques, or show one with its settings."""
    from pawl.listing import describe, select  # noqa: PLC0415

    chosen = select(name, stage)
    if as_json:
        show.out.print_json(json.dumps([describe(t) for t in chosen]))
        return
    if name is not None:
        show.technique(describe(chosen[0]))
        return
    show.techniques(chosen)


@app.command()
@with_options(PlanOptions)
def doctor(
    given: dict[str, Any],
    plan: Annotated[
        str | None,
        typer.Option(help="Data (as for optimize): time how its baseline is best trained here."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A task in Python, or data: what is seen of its model, and what could change it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine: versions, hardware, and that a small model trains and exports.

    Examples: pawl doctor --plan adult.csv --target income; pawl doctor --model my_task.py
    """
    from pawl.doctor import anatomy, examine, timings  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    if model is not None:
        found, shown = anatomy(model, PlanOptions(**given)), show.anatomy
    elif plan is not None:
        found, shown = timings(plan, PlanOptions(**given)), show.timings
    else:
        found, shown = examine(), show.examination
    if as_json:
        show.out.print_json(json.dumps(found))
    else:
        shown(found)
    if not all(check["ok"] for check in found.get("checks", ()) if check["needed"]):
        raise typer.Exit(1)


app.command()(serve)
