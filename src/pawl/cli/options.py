"""Arguments and options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

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

READING = {
    "separator": Annotated[
        str | None, typer.Option(help="Between the cells of a CSV file: one character, or tab.")
    ],
    "decimal": Annotated[str | None, typer.Option(help="Decimal mark of numbers: . or ,")],
    "encoding": Annotated[
        str | None, typer.Option(help="Of a CSV file: utf-8, cp1252, utf-16, ...")
    ],
    "date_format": Annotated[
        str | None, typer.Option(help="ymd, dmy, mdy, or a format such as '%d %b %Y'.")
    ],
    "ignore": Annotated[
        list[str] | None, typer.Option(help="Column to leave out; may be given several times.")
    ],
    "types": Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=KIND",
            help="What a column is: numeric, boolean, date or categorical; several times.",
        ),
    ],
    "rare": Annotated[
        str | None, typer.Option(help="Classes with too few rows: drop or merge them.")
    ],
    "positive": Annotated[
        str | None, typer.Option(help="Of two classes, the one that counts as positive.")
    ],
}


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of reading to a command, which gets them all in its argument `reading`."""
    own = inspect.signature(command, eval_str=True).parameters
    added = {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )
        for name, annotation in READING.items()
    }

    @functools.wraps(command)
    def extended(**given: Any) -> None:
        reading = {name: given.pop(name) for name in READING}
        command(**given, reading=reading)

    parameters = [each for name, each in own.items() if name != "reading"] + list(added.values())
    extended.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    extended.__annotations__ = {each.name: each.annotation for each in parameters}
    return extended
