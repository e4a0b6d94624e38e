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
from pawl.cli.beside import page
from pawl.cli.compressed import show_compressed
from pawl.cli.options import AsJson, OptionalSource, Source, with_options
from pawl.errors import BundleWarning, DataWarning, LimitError, TaskError, option
from pawl.options import (
    Call,
    CompareCall,
    CompressCall,
    DiagnoseCall,
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
def progress() -> Iterator[Any]:
    """Yields a listener that shows a command's phases."""
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
    from pawl.result import load_result  # noqa: PLC0415

    call = Call(**given)
    with contextlib.ExitStack() as stack:
        if call.out is None and call.resume is None and source is not None:
            given["out"] = stack.enter_context(new_folder(source))
        if folder := call.resume or given.get("out"):
            ctx.obj.tell(folder=str(Path(folder).absolute()), command="optimize")
        if limits := api.limits(call):
            ctx.obj.tell(budget=limits[0], seconds=limits[1])
        stack.enter_context(page(ctx, given, folder, stays=not as_json))
        try:
            with progress() as listener:
                result = api.optimize(source, **given, listener=listener, started=_STARTED)
        except LimitError:
            # The campaign is whole, and worth showing.
            if folder is not None and not as_json:
                show.campaign(load_result(Path(folder)))
            raise
        if as_json:
            show.json_text(result.summary.to_json())
        else:
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
    with page(ctx, given, folder, stays=not as_json):
        with progress() as listener:
            result = run(task, **given, listener=listener, started=_STARTED)
        if as_json:
            show.json_text(result.summary.to_json())
        else:
            show.tuned(result)


@app.command()
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

    with progress() as listener:
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
    """Compare two recipes by a paired test in repeated cross-validation.

    Example: pawl compare adult.csv a.toml b.toml --target income
    """
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    recipes = Recipe.read(first), Recipe.read(second)
    with progress() as listener:
        result = single.compare(source, *recipes, **given, listener=listener)
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.compared(first, second, result)


@app.command()
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

    with progress() as listener:
        result = single.diagnose(source, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json())
        return
    show.diagnosed(result)


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

    with progress() as listener:
        result = run(bundle, data, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json())
        return
    show_compressed(result)


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
    """Predict with a bundle: one row per input row. Tables may be larger than memory.

    Example: pawl predict runs/adult new.csv --out predictions.csv
    """
    from pawl.deployment import Bundle, write_predictions  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught, show.bar("predicted") as told:
        for category in (DataWarning, BundleWarning):
            warnings.simplefilter("always", category)
        rows = write_predictions(Bundle.open(bundle), data, out, progress=told)
    show.line(f"{rows} predictions in {out}")
    for each in caught:
        if issubclass(each.category, (DataWarning, BundleWarning)):
            show.line(f"note: {each.message}")


@app.command()
def export(
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    to: Annotated[
        str,
        typer.Option(
            help="onnx (columns in, labels out), torch-export (a program) or safetensors (weights)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to, new or empty.")],
    rows: Annotated[
        str | None,
        typer.Option(help="Rows in the form of the training data, to check the export on, too."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="module.py[:task] with the model, where it is your own; not for onnx."),
    ] = None,
) -> None:
    """Export a bundle's model to a form that others load, checked by loading it.

    Example: pawl export runs/adult --to onnx --out exported
    """
    from pawl.data import resolve_task  # noqa: PLC0415
    from pawl.deployment.exporting import export as run  # noqa: PLC0415

    own = None if model is None else resolve_task(model).model
    found = run(bundle.absolute(), to, out.absolute(), rows=rows, model=own)
    show.line(f"{', '.join(found.files)} in {found.folder}")
    show.line(f"loaded again it predicts {found.rows} rows within {found.apart:.2g} of the bundle")


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
    with progress() as listener:
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
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="A bundle, or its campaign's folder: is it whole, does it predict here what it did "
            "where it was made, and how fast."
        ),
    ] = None,
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
    """Check this machine: versions, hardware, and that a small model trains and exports; or a bundle.

    Examples: pawl doctor runs/adult/bundle; pawl doctor --plan adult.csv --target income; pawl doctor
    --model my_task.py
    """
    from pawl.deployment.examining import examine_bundle  # noqa: PLC0415
    from pawl.doctor import anatomy, examine, timings  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    if bundle is not None:
        if plan is not None or model is not None:
            got = option("plan", plan) if plan is not None else option("model", model)
            raise TaskError(f"got a bundle and {got}; give one of them")
        found, shown = examine_bundle(bundle), show.examined_bundle
    elif model is not None:
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
