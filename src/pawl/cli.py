"""The command line: a thin layer over `pawl.api`."""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from rich.console import Console
from rich.table import Table

from pawl.errors import PawlError
from pawl.interrupts import EXIT_CODE, Interrupted, Interrupts, watched

_STARTED = time.monotonic()
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_interrupts = Interrupts()
# Click's `UsageError`; typer brings its own copy of it or not, by its version.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])

app = typer.Typer(
    help="Optimize deep-learning models, and keep only what is shown to help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_out = Console(highlight=False, markup=False)

Source = Annotated[
    str,
    typer.Argument(
        help="CSV or Parquet file, folder or archive of images by class, module.py[:task], or a "
        "sample: digits, breast-cancer."
    ),
]
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
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    from pawl.progress import TerminalProgress  # noqa: PLC0415

    warnings.filterwarnings("ignore")  # other libraries' advice is not the user's business
    # What the user's own code prints must not end up in what is printed as the result.
    with contextlib.redirect_stdout(sys.stderr), TerminalProgress() as listener:
        yield listener


@app.command()
def optimize(
    source: Annotated[
        str | None,
        typer.Argument(
            help="CSV or Parquet file, folder or archive of images by class, module.py[:task], or a "
            "sample: digits, breast-cancer."
        ),
    ] = None,
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
    seed: Annotated[
        int | None, typer.Option(help="Decides splits, seeds and samples.", show_default="0")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what improves a model on your data, prove it, and leave a model to deploy.

    Example: pawl optimize adult.csv --target income --budget 10m
    """
    from pawl import api  # noqa: PLC0415

    if out is None and resume is None and source is not None:
        out = api.new_folder(source)
    _interrupts.folder = resume or out
    with _progress() as listener:
        result = api.optimize(
            source, target=target, metric=metric, test=test, kind=kind, budget=budget,
            trials=trials, out=out, resume=resume, baseline=baseline,
            only=None if only is None else [name.strip() for name in only.split(",")],
            epochs=epochs, device=device, executor=executor, average=average, seed=seed,
            listener=listener, started=_STARTED,
        )  # fmt: skip
    if as_json:
        sys.stdout.write(result.summary.to_json())
        return
    _show(result)


def _show(result: Any) -> None:
    summary = result.summary
    _out.print()
    _out.print(summary.gain.statement, style="bold")
    measured = any(t.effect is not None for t in summary.techniques)
    if summary.techniques and not measured:
        names = ", ".join(t.name for t in summary.techniques)
        _out.print(f"\nIts changes were not compared one by one: {names}.")
    elif summary.techniques:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("technique", "verdict", "effect", "95% interval", "pairs"):
            table.add_column(column)
        for t in summary.techniques:
            effect = "not measured" if t.effect is None else f"{t.effect:+.3g}"
            interval = "" if t.interval is None else f"{t.interval[0]:+.3g} to {t.interval[1]:+.3g}"
            table.add_row(t.name, t.verdict, effect, interval, str(t.n or ""))
        _out.print()
        _out.print(table)
    _out.print()
    bundle = result.folder / "bundle"
    _line(f"report   {result.report}")
    _line(f"bundle   {bundle}")
    _line(f"predict  pawl predict {shlex.quote(str(bundle))} DATA --out predictions.csv")


def _line(text: str) -> None:
    """Prints without breaking the line, so that paths can be copied."""
    _out.print(text, soft_wrap=True)


@app.command()
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
) -> None:
    """Train one recipe, score it on the test rows, and leave a bundle."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    with _progress() as listener:
        result = single.train(
            source, Recipe.read(recipe), out=out, target=target, metric=metric, test=test,
            kind=kind, device=device, seed=seed, listener=listener,
        )  # fmt: skip
    if as_json:
        _out.print_json(result.to_json())
        return
    low, high = result.interval
    _out.print(f"{result.metric} {result.value:.5g} on the test rows (95% {low:.5g} to {high:.5g})")
    _line(f"bundle   {out / 'bundle'}")


@app.command()
def compare(
    source: Source,
    first: Annotated[Path, typer.Argument(help="TOML file of a recipe.")],
    second: Annotated[
        Path, typer.Argument(help="TOML file of the recipe that a positive effect favors.")
    ],
    target: Target = None,
    metric: Metric = None,
    kind: KindOption = None,
    pairs: Annotated[int, typer.Option(help="Most pairs: 5, 10 or 20.", min=5, max=20)] = 20,
    epochs: Annotated[
        int | None, typer.Option(help="Passes of a training. Default: by the rows.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the ledger. Default: none is kept.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two recipes by a paired, corrected test on fresh resplits."""
    from pawl import single  # noqa: PLC0415
    from pawl.recipe import Recipe  # noqa: PLC0415

    looks = [n for n in (5, 10, 20) if n < pairs] + [pairs]
    recipes = Recipe.read(first), Recipe.read(second)
    with _progress() as listener, tempfile.TemporaryDirectory() as scratch:
        result = single.compare(
            source, *recipes, out=out or Path(scratch) / "compare", target=target, metric=metric,
            kind=kind, looks=looks, epochs=epochs, device=device, seed=seed, listener=listener,
        )  # fmt: skip
    if as_json:
        _out.print_json(result.to_json())
        return
    c = result.comparison
    _out.print(f"{second} against {first}: {result.verdict}", style="bold")
    _out.print(
        f"{result.metric} {result.means[1]:.5g} against {result.means[0]:.5g}, effect {c.effect:+.3g} "
        f"(95% {c.interval[0]:+.3g} to {c.interval[1]:+.3g}, {c.n} pairs, corrected p = "
        f"{result.p_value:.2g})"
    )


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

    rows = write_predictions(Bundle.open(bundle), data, out)
    _line(f"{rows} predictions in {out}")


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
        sys.stdout.write(result.summary.to_json())
        return
    render_folder(folder, result.summary)
    _show(result)


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
        _out.print_json(json.dumps([describe(t) for t in chosen]))
        return
    if name is not None:
        _show_technique(describe(chosen[0]))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "technique", "group", "what it does"):
        table.add_column(column)
    for t in chosen:
        table.add_row(t.stage.value, t.name, t.group or "", t.summary)
    _out.print(table)


def _show_technique(record: dict[str, Any]) -> None:
    _out.print(record["name"], style="bold")
    _out.print(f"{record['summary']}\n{record['reference']}")
    _out.print(
        f"stage {record['stage']}" + (f", group {record['group']}" if record["group"] else "")
    )
    if not record["settings"]:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("setting", "default", "range", "what it is", "per member"):
        table.add_column(column)
    for setting in record["settings"]:
        table.add_row(
            setting["name"],
            str(setting["default"]),
            setting["range"],
            setting["description"],
            "yes" if setting["memberwise"] else "no",
        )
    _out.print()
    _out.print(table)


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
        _show_timings(timings(plan, target=target, executor=executor), as_json=as_json)
        return
    found = examine()
    if as_json:
        _out.print_json(json.dumps(found))
    else:
        for key, value in {**found["hardware"], **found["versions"]}.items():
            _out.print(f"{key:>14}  {value}")
        for check in found["checks"]:
            state = "ok" if check["ok"] else "FAILS" if check["needed"] else "none"
            _out.print(f"{state:>14}  {check['name']}: {check['detail']}")
    if not all(check["ok"] for check in found["checks"] if check["needed"]):
        raise typer.Exit(1)


def _show_timings(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _out.print_json(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("way", "ms per step and member", "seconds to compile"):
        table.add_column(column)
    for each in sorted(found["ways"], key=lambda each: each["ms"] or float("inf")):
        seconds = "failed" if each["ms"] is None else f"{each['ms']:.3g}"
        table.add_row(each["way"], seconds, f"{each['compile_s']:.1f}" if each["compile_s"] else "")
    _out.print(table)
    _line(f"\nfor a campaign of an hour: {found['chosen']}")


def main() -> None:
    """Runs the command line; ends with 0, 2 (wrong input), 3 (budget too short) or 130 (interrupted)."""
    global _interrupts  # commands are called by typer, which passes no state
    with watched() as _interrupts:
        try:
            code = app(standalone_mode=False)
        except (Interrupted, Exception) as error:
            if _interrupts.asked:  # whatever an interrupted library made of it
                _interrupts.tell()
                sys.exit(EXIT_CODE)
            if isinstance(error, _UsageError):
                _refuse_usage(error)
            if isinstance(error, PawlError):
                _fail(str(error), error.exit_code)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                _fail(f"{error}; free some space, then try again (a campaign: with --resume)", 2)
            raise
    sys.exit(code or 0)


def _refuse_usage(error: Any) -> NoReturn:
    """Says in one line what is wrong with the arguments; without any, the help has been shown."""
    message = " ".join(error.format_message().split())
    if len(sys.argv) > 1 and message:
        names = getattr(getattr(error, "param", None), "opts", ())
        given = [value for name, value in pairwise(sys.argv) if name in names]
        got = f" (got {given[-1]!r})" if given else ""
        command = error.ctx.command_path if error.ctx else "pawl"
        _fail(f"{message.rstrip('.')}{got}; {command} -h says what is allowed", 2)
    sys.exit(2)


def _fail(message: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # standard error may be a file on a full disk
        sys.stderr.write(f"pawl: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
