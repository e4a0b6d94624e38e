"""Options that campaigns over models and over functions share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pawl import budget as budgets
from pawl.errors import TaskError, option
from pawl.options.model import OptionsModel, Whole

ExecutorName = Literal["auto", "inline", "processes"]
Deliver = Literal["likely", "proven"]
"""What may be delivered: what is likely better, or only what is shown to be."""
Ensemble = Literal["auto", "greedy", "mean", "linear", "stacked", "snapshots", "none"]
"""How recipes are blended; `pawl.ensembling` has the combiners."""
KindName = Literal[
    "binary", "multiclass", "multilabel", "sequence", "dense",
    "regression", "multitarget", "dense_regression",
]  # fmt: skip
"""What can be predicted; `pawl.kinds` has what follows from it."""
DEFAULT_BUDGET = "10m"
LISTENER = Field(
    default=None, description="Told how it goes on.", json_schema_extra={"python_only": True}
)


def is_recorded(value: Any) -> bool:
    """Whether records hold an option's value: text, a number or a list of such, no arrays."""
    if isinstance(value, tuple | list):
        return all(isinstance(each, str | int | float) for each in value)
    return isinstance(value, str | int | float)


def listed(name: str, given: Any) -> tuple[str, ...]:
    """Returns the names in a list, of which each may hold several with commas between.

    Raises:
        TaskError: It is no list, or an empty one.
    """
    names = () if isinstance(given, str) else [str(each) for each in given]
    split = [each.strip() for every in names for each in every.split(",")]
    if not split:
        raise TaskError(f"got {name}={given!r}; give a list of names")
    return tuple(dict.fromkeys(split))


class SeedOptions(OptionsModel):
    """From which seed a campaign starts."""

    seed: Whole = Field(
        default=0, ge=0, le=2**63 - 1, description="Decides splits, seeds and samples."
    )


class ExecutorOptions(OptionsModel):
    """Where trainings run."""

    executor: ExecutorName = Field(
        default="auto",
        description="Where trainings run on a CPU: inline (this process), processes (one per core) or "
        "auto (whichever is measured to be faster; of a function: one per core).",
    )


class TimedOptions(OptionsModel):
    """What those share that have a `budget`, which they declare in its place among their options."""

    if TYPE_CHECKING:
        budget: str | int | float | None

    @field_validator("budget", mode="before", check_fields=False)
    @classmethod
    def _duration(cls, given: Any) -> Any:
        budgets.parse(given)
        return given

    @property
    def seconds(self) -> float | None:
        """The budget; `None` where there is none."""
        return None if self.budget is None else budgets.parse(self.budget)


class SearchOptions(TimedOptions):
    """How long a campaign is, what it may change and what it may deliver."""

    budget: str | int | float | None = Field(
        default=None,
        description="Time from start to finished report: 90s, 10m, 1h, or seconds; 10m by default.",
    )
    trials: Whole | None = Field(
        default=None,
        ge=1,
        description="Number of search trials in place of a budget: nothing then depends on the clock, "
        "and a campaign repeats to the digit.",
    )
    only: Sequence[str] | None = Field(
        default=None,
        description="What the search may bring in or vary: techniques, as in adamw,dropout (of a "
        "function: settings); all by default.",
    )
    search: str = Field(
        default="edits",
        description="How the search proposes: edits (few edits of good recipes, settings by TPE; of a "
        "function TPE), genetic, gp (Gaussian process), cma-es, tpe, random, grid, or one of your own "
        "by `pawl.register_sampler`; and, of a model, which trials are trained to their end: halving "
        "(the best third goes on), hyperband, pbt (population-based training), median, none, or one of "
        "your own by `pawl.register_scheduler`. Or both, as in genetic,hyperband.",
    )
    grid: Sequence[str] | None = Field(
        default=None,
        description="With search=grid, a setting and its values, as in adamw.learning_rate=0.001,0.01; "
        "may be given several times. By default all choices and three of each number.",
    )
    deliver: Deliver = Field(
        default="likely",
        description="What may be delivered: likely (what is more likely better on rows, or seeds, that "
        "nothing was chosen by) or proven (the baseline, unless something is shown to be better).",
    )

    @field_validator("grid", mode="before")
    @classmethod
    def _grid(cls, given: Any) -> tuple[str, ...]:
        return (given,) if isinstance(given, str) else tuple(str(each) for each in given)

    @field_validator("only", mode="before")
    @classmethod
    def _only(cls, given: Any) -> tuple[str, ...]:
        return listed("only", given)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.budget is not None and self.trials is not None:
            raise TaskError("got a budget and a number of trials; give one of them")
        return self

    @property
    def seconds(self) -> float | None:
        """The budget; `None` where a number of trials is in its place."""
        if self.trials is not None:
            return None
        return budgets.parse(DEFAULT_BUDGET if self.budget is None else self.budget)

    def kept(self) -> list[str]:
        """Returns the names of those that repeat a campaign, and that going on with it is held to."""
        return [name for name in type(self).model_fields if name not in ResumeOptions.model_fields]

    def record(self) -> dict[str, Any]:
        """Returns all options as JSON holds them; what are Python objects are left out.

        A budget is in seconds, a recipe is its tables, a path is text.
        """
        known: dict[str, Any] = {}
        for name in self.kept():
            value = getattr(self, name)
            if name == "baseline" and value is not None and not isinstance(value, str | Path):
                value = value.to_dict()
            elif isinstance(value, dict):  # of tensors
                continue
            elif isinstance(value, Path):
                value = str(value)
            elif isinstance(value, tuple):
                value = list(value)
            if value is None or isinstance(value, dict) or is_recorded(value):
                known[name] = value
        return {**known, "budget": self.seconds}

    def repeated(self) -> dict[str, Any]:
        """Returns what a command that repeats the campaign must give: what differs from the defaults."""
        fields, kept = type(self).model_fields, self.kept()
        differing = {
            name: value
            for name, value in self.given.items()
            # What is no plain value, such as an array, may not compare.
            if name in kept and not (is_recorded(value) and value == fields[name].default)
        }
        if self.trials is None:
            differing["budget"] = DEFAULT_BUDGET if self.budget is None else self.budget
        for name, value in differing.items():
            if name in ("only", "families", "objectives"):
                differing[name] = ",".join(value)
        return differing


SINKS = ("tensorboard", "mlflow")


def sink_of(text: str) -> tuple[str, str]:
    """Returns where trials are logged to: which kind, and its place.

    Raises:
        TaskError: There is no such kind, or no place.

    >>> sink_of("tensorboard:logs")
    ('tensorboard', 'logs')
    """
    kind, _, where = str(text).partition(":")
    if kind not in SINKS or not where:
        raise TaskError(
            f"got {option('log', text)}; give tensorboard:DIR, or mlflow: with the address of a "
            "tracking server or a folder"
        )
    return kind, where


class FollowOptions(OptionsModel):
    """What follows a campaign while it runs."""

    serve: bool = Field(
        default=False,
        description="Serve the campaign's page beside it, and say its address; at a terminal it stays "
        "until Ctrl-C.",
    )
    log: Sequence[str] | None = Field(
        default=None,
        description="Also log trials elsewhere: tensorboard:DIR, or mlflow:ADDRESS of a tracking "
        "server; may be given several times. What cannot be logged stops nothing.",
    )

    @field_validator("log", mode="before")
    @classmethod
    def _sinks(cls, given: Any) -> tuple[str, ...]:
        found = (given,) if isinstance(given, str) else tuple(str(each) for each in given)
        for each in found:
            sink_of(each)
        return found


class ResumeOptions(FollowOptions):
    """Where a campaign is kept, and how one goes on."""

    out: str | Path | None = Field(
        default=None,
        description="Folder for report, ledger and what is delivered, new or empty; runs/NAME-TIME by "
        "default.",
    )
    resume: str | Path | None = Field(
        default=None,
        description="Folder of a campaign to go on with as it was started: what is given beside it must "
        "be the same, and a source given as an object is needed again.",
    )
    accept_changes: bool = Field(
        default=False,
        description="With resume: go on though the task's model, loss or metric has changed; that this "
        "was done is put on record.",
    )
    started: float | None = Field(
        default=None,
        description="`time.monotonic()` at which the budget began; now by default.",
        json_schema_extra={"python_only": True},
    )
    listener: Any = LISTENER
