"""The commands for a bundle: make it smaller, predict, export, explain."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from pawl.cli import show
from pawl.cli.compressed import show_compressed
from pawl.cli.options import AsJson, with_options
from pawl.cli.phases import STARTED, phases
from pawl.errors import BundleWarning, DataWarning, TaskError, option
from pawl.options import CompressCall, ExplainCall


@with_options(CompressCall)
def compress(
    given: dict[str, Any],
    bundle: Annotated[Path, typer.Argument(help="The bundle, or the folder of its campaign.")],
    data: Annotated[
        str,
        typer.Argument(
            help="Rows in the form of the training data, with targets; or module.py[:task], where model "
            "or metric are your own."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a bundle smaller and faster, as far as it is shown to lose less than --max-loss.

    Example: pawl compress runs/adult-20261129 adult.csv --max-loss 0.5% --out small
    """
    from pawl.compression import compress as run  # noqa: PLC0415

    with phases() as listener:
        result = run(bundle, data, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json())
        return
    show_compressed(result)


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
    with phases() as listener:
        found = run(bundle, data, **given, listener=listener, started=STARTED)
    if as_json:
        show.json_text(found.explanation.to_json())
        return
    show.explained(found)
