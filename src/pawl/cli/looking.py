"""The commands that look at what there is: a finished campaign, the techniques, this machine."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.options import AsJson, with_options
from pawl.errors import TaskError, option
from pawl.options import PlanOptions


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
