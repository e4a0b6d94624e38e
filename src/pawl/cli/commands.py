"""The commands: each hands its arguments to the Python face and shows what comes back."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.options import (
    AsJson,
    Device,
    Direction,
    KindOption,
    Metric,
    OptionalSource,
    Seed,
    Source,
    Target,
    Test,
    with_reading,
)
from pawl.errors import DataWarning
from pawl.reading import Reading

NO_READING: Reading = {}
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
@with_reading
def optimize(
    ctx: typer.Context,
    source: OptionalSource = None,
    target: Target = None,
    metric: Metric = None,
    test: Test = None,
    kind: KindOption = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time from start to finished report: 90s, 10m, 1h. Default: 10m."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Number of search trials in place of a budget; repeatable to the digit."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for report, bundle and ledger. Default: runs/NAME-TIME."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the unfinished campaign in this folder.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="TOML file of the recipe to start from and to beat.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Techniques that may come in or be varied, as in adamw,dropout."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Most passes of a training. Default: by the rows.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda.", show_default="auto")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(help="Where members train: auto, inline or processes.", show_default="auto"),
    ] = None,
    average: Annotated[
        int | None,
        typer.Option(
            help="Most models whose mean the bundle predicts; 1 for the smallest and fastest.",
            show_default="5",
        ),
    ] = None,
    deliver: Annotated[
        str | None,
        typer.Option(
            help="What the bundle may hold: likely (the recipe that is more likely better) or proven "
            "(the baseline, unless a recipe is shown to be better).",
            show_default="likely",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Decides splits, seeds and samples.", show_default="0")
    ] = None,
    as_json: AsJson = False,
    direction: Direction = None,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="With --resume: go on though the task's model, loss or metric has changed.",
        ),
    ] = False,
    reading: Reading = NO_READING,
) -> None:
    """Find what improves a model on your data, prove it, and leave a model to deploy.

    Example: pawl optimize adult.csv --target income --budget 10m
    """
    from pawl import api  # noqa: PLC0415
    from pawl.ledger import new_folder  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        if out is None and resume is None and source is not None:
            out = stack.enter_context(new_folder(source))
        if folder := resume or out:
            ctx.obj.tell(folder=str(folder.absolute()))
        if limits := api.limits(budget, trials, resume):
            ctx.obj.tell(budget=limits[0], seconds=limits[1])
        listener = stack.enter_context(_progress())
        result = api.optimize(
            source, target=target, metric=metric, test=test, kind=kind, budget=budget,
            trials=trials, out=out, resume=resume, baseline=baseline,
            only=None if only is None else [name.strip() for name in only.split(",")],
            epochs=epochs, device=device, executor=executor, average=average, deliver=deliver, seed=seed,
            listener=listener, started=_STARTED, direction=direction, accept_changes=accept_changes,
            **reading,
        )  # fmt: skip
    if as_json:
        show.json_text(result.summary.to_json())
        return
    show.campaign(result)


@app.command()
@with_reading
def train(
    source: Source,
    recipe: Annotated[Path, typer.Option(help="TOML file with one table per technique.")],
    out: Annotated[Path, typer.Option(help="New folder for the bundle.")],
    target: Target = None,
    metric: Metric = None,
    test: Test = None,
    kind: KindOption = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
    direction: Direction = None,
    reading: Reading = NO_READING,
) -> None:
    """Train one recipe, score it on the test rows, and leave a bundle."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    with _progress() as listener:
        result = single.train(
            source, Recipe.read(recipe), out=out, target=target, metric=metric, test=test,
            kind=kind, device=device, seed=seed, listener=listener, direction=direction,
            **reading,
        )  # fmt: skip
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.trained(result, out / "bundle")


@app.command()
@with_reading
def compare(
    source: Source,
    first: Annotated[Path, typer.Argument(help="TOML file of a recipe.")],
    second: Annotated[
        Path, typer.Argument(help="TOML file of the recipe that a positive effect favors.")
    ],
    target: Target = None,
    metric: Metric = None,
    kind: KindOption = None,
    pairs: Annotated[
        int,
        typer.Option(help="Most pairs, 5 to 20: looks are after 5, 10 and these.", min=5, max=20),
    ] = 20,
    epochs: Annotated[
        int | None, typer.Option(help="Passes of a training. Default: by the rows.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the ledger. Default: none is kept.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
    direction: Direction = None,
    reading: Reading = NO_READING,
) -> None:
    """Compare two recipes by a paired test in repeated cross-validation."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    looks = [n for n in (5, 10, 20) if n < pairs] + [pairs]
    recipes = Recipe.read(first), Recipe.read(second)
    with _progress() as listener, tempfile.TemporaryDirectory() as scratch:
        result = single.compare(
            source, *recipes, out=out or Path(scratch) / "compare", target=target, metric=metric,
            kind=kind, looks=looks, epochs=epochs, device=device, seed=seed, listener=listener,
            direction=direction, **reading,
        )  # fmt: skip
    if as_json:
        show.out.print_json(result.to_json())
        return
    show.compared(first, second, result)


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    data: Annotated[
        str,
        typer.Argument(help="Rows in the form of the training data; the target may be missing."),
    ],
    out: Annotated[
        Path, typer.Option(help="CSV or Parquet file to write: prediction, and p_CLASS per class.")
    ],
) -> None:
    """Predict with a bundle: one row per input row."""
    from pawl.deployment import Bundle, write_predictions  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        rows = write_predictions(Bundle.open(bundle), data, out)
    show.line(f"{rows} predictions in {out}")
    for each in caught:
        if issubclass(each.category, DataWarning):
            show.line(f"note: {each.message}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A finished campaign's folder.")],
    as_json: AsJson = False,
) -> None:
    """Write a finished campaign's report.html anew, and say where it is."""
    from pawl import api  # noqa: PLC0415
    from pawl.report.assemble import render_folder  # noqa: PLC0415

    result = api.load(folder)
    if as_json:
        show.json_text(result.summary.to_json())
        return
    render_folder(folder, result.summary)
    show.campaign(result)


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
def doctor(
    plan: Annotated[
        str | None,
        typer.Option(help="Data (as for optimize): time how its baseline is best trained here."),
    ] = None,
    target: Target = None,
    executor: Annotated[str, typer.Option(help="Where members may train.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Check this machine: versions, hardware, and that a small model trains and exports.

    Example: pawl doctor --plan adult.csv --target income
    """
    from pawl.doctor import examine, timings  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    if plan is not None:
        found = timings(plan, target=target, executor=executor)
        if as_json:
            show.out.print_json(json.dumps(found))
        else:
            show.timings(found)
        return
    found = examine()
    if as_json:
        show.out.print_json(json.dumps(found))
    else:
        show.examination(found)
    if not all(check["ok"] for check in found["checks"] if check["needed"]):
        raise typer.Exit(1)
