"""What `find-rate` and `find-batch-size` print for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawl.cli.show import columns_of, line, notes, out

if TYPE_CHECKING:
    from pawl.finding import BatchSizes, RangeTest, RateScores


def rates(found: RangeTest | RateScores) -> None:
    """Shows what each rate did, and which is suggested."""
    from pawl.finding import RateScores  # noqa: PLC0415 - it imports torch

    if isinstance(found, RateScores):
        scores(found)
    else:
        losses(found)
    notes(found.notes)


def losses(found: RangeTest) -> None:
    """Shows a range test."""
    table = columns_of("rate", f"training loss after {found.steps} steps", "")
    for each in found.rates:
        loss = "diverged" if each.loss is None else f"{each.loss:.4g}"
        if each.loss is not None and each.error is not None:
            loss += f" ± {each.error:.2g}"
        table.add_row(f"{each.rate:.3g}", loss, "suggested" if each.rate == found.suggested else "")
    out.print(table)
    out.print(f"\n{found.optimizer}: learning rate {found.suggested:.3g}", style="bold")
    limit = "none diverged" if found.limit is None else f"{found.limit:.3g} diverged"
    line(
        f"by the lowest training loss, from {found.first_loss:.4g}; the lowest within one standard "
        f"error (±) of it is {found.within_one_error:.3g}; {limit}. {found.seeds} trainings at each "
        "rate; --folds scores rates on rows held out."
    )


def scores(found: RateScores) -> None:
    """Shows rates by cross-validation."""
    table = columns_of("rate", f"{found.metric} (95% interval)", "behind the best", "")
    for each in found.rates:
        low, high = each.interval
        score, behind = f"{each.score:.4g} ({low:.4g} to {high:.4g})", ""
        told = ["suggested"] if each.rate == found.suggested else []
        if not told:
            low, high = each.behind_interval
            behind = f"{each.behind:.3g} ({low:.3g} to {high:.3g})"
        told += [f"{each.failed} of {each.n} failed"] if each.failed else []
        table.add_row(f"{each.rate:.3g}", score, behind, ", ".join(told))
    out.print(table)
    out.print(f"\n{found.optimizer}: learning rate {found.suggested:.3g}", style="bold")
    line(
        f"by the mean {found.metric} of {found.folds} folds, {found.epochs} passes; the lowest within "
        f"one standard error of it is {found.within_one_error:.3g}"
    )


def batch_sizes(found: BatchSizes) -> None:
    """Shows what batches of each size take."""
    on_gpu = any(each.memory_bytes is not None for each in found.sizes)
    table = columns_of(
        "rows", "ms per step", "rows per second", *(["MB held"] if on_gpu else []),
        "time to a loss", "",
    )  # fmt: skip
    for each in found.sizes:
        memory = [f"{(each.memory_bytes or 0) / 1e6:,.0f}"] if on_gpu else []
        relative = "" if each.relative_time is None else f"{each.relative_time:.2f}x"
        told = ["suggested"] if each.size == found.suggested else []
        told += ["knee"] if each.size == found.knee else []
        table.add_row(
            str(each.size), f"{each.milliseconds:.3g}", f"{each.rows_per_second:,.0f}", *memory,
            relative, ", ".join(told),
        )  # fmt: skip
    out.print(table)
    out.print(f"\nbatch size {found.suggested}", style="bold")
    if found.noise_scale is not None:
        line(
            f"noise of gradients after {found.steps} steps: {found.noise_scale:,.0f} rows; batches of "
            "so many need twice the fewest steps"
        )
    if found.out_of_memory is not None:
        line(f"{found.out_of_memory} rows did not fit into memory")
    notes(found.notes)
