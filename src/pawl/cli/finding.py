"""The commands that find a setting: a learning rate, a batch size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pawl.cli import show, show_found
from pawl.cli.options import AsJson, Source, with_options
from pawl.cli.phases import phases
from pawl.options import FindBatchSizeCall, FindRateCall


@with_options(FindRateCall)
def find_rate(given: dict[str, Any], source: Source, as_json: AsJson = False) -> None:
    """Find a learning rate: by short trainings, or with --folds by cross-validation.

    Example: pawl find-rate adult.csv --target income --folds 5 --picture rate.svg
    """
    from pawl.finding import find_rate as run  # noqa: PLC0415

    _find(run, show_found.rates, source, given, as_json=as_json)


@with_options(FindBatchSizeCall)
def find_batch_size(given: dict[str, Any], source: Source, as_json: AsJson = False) -> None:
    """Find a batch size: by the time of steps, memory, and the noise of gradients.

    Example: pawl find-batch-size adult.csv --target income
    """
    from pawl.finding import find_batch_size as run  # noqa: PLC0415

    _find(run, show_found.batch_sizes, source, given, as_json=as_json)


def _find(
    run: Callable[..., Any],
    shown: Callable[[Any], None],
    source: Any,
    given: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    with phases() as listener:
        result = run(source, **given, listener=listener)
    if as_json:
        show.json_text(result.to_json() + "\n")
        return
    shown(result)
