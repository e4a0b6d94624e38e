"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

_SOURCE = typer.Argument(
    help="CSV or Parquet file, folder or archive of images by class, module.py[:task], or a "
    "sample: digits, breast-cancer."
)
Source = Annotated[str, _SOURCE]
OptionalSource = Annotated[str | None, _SOURCE]
Target = Annotated[
    str | None, typer.Option(help="Column to predict. Default: target, label, ... or the last.")
]
Metric = Annotated[
    str | None, typer.Option(help="roc_auc, accuracy, f1, log_loss, rmse, mae, r2, ...")
]
Test = Annotated[
    str | None, typer.Option(help="Rows kept for the final claim. Default: a fifth of the data.")
]
KindOption = Annotated[
    str | None, typer.Option(help="binary, multiclass or regression. Default: inferred.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Seed = Annotated[int, typer.Option(help="Decides splits, seeds and samples.")]
Direction = Annotated[
    str | None, typer.Option(help="maximize or minimize, for a metric of your own module.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
