"""The command line: every command, in the order in which the help lists them."""

from __future__ import annotations

import typer

from pawl.cli.bundles import compress, explain, export, predict
from pawl.cli.campaigns import optimize, tune
from pawl.cli.finding import find_batch_size, find_rate
from pawl.cli.looking import doctor, report, techniques
from pawl.cli.serving import serve
from pawl.cli.single import compare, diagnose, train
from pawl.cli.version import of_all

_COMMANDS = (
    optimize,
    tune,
    train,
    compare,
    diagnose,
    compress,
    predict,
    export,
    explain,
    report,
    techniques,
    doctor,
    find_rate,
    find_batch_size,
    serve,
)

app = typer.Typer(
    help="Optimize deep-learning models, and tell what is better from what is shown to be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(of_all)
for _command in _COMMANDS:
    app.command()(_command)
