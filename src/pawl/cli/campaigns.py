"""The commands that run campaigns: over a model, over a plain function."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl import budget as budgets
from pawl.cli import show
from pawl.cli.beside import page
from pawl.cli.options import AsJson, OptionalSource, with_options
from pawl.cli.phases import STARTED, phases
from pawl.errors import LimitError
from pawl.options import Call, TuneCall


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
            with phases() as listener:
                result = api.optimize(source, **given, listener=listener, started=STARTED)
        except LimitError:
            # The campaign is whole, and worth showing.
            if folder is not None and not as_json:
                show.campaign(load_result(Path(folder)))
            raise
        if as_json:
            show.json_text(result.summary.to_json())
        else:
            show.campaign(result)


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
        with phases() as listener:
            result = run(task, **given, listener=listener, started=STARTED)
        if as_json:
            show.json_text(result.summary.to_json())
        else:
            show.tuned(result)
