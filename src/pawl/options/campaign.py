"""Options of campaigns: one field each, of which Python's face, commands and records are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pawl import budget as budgets
from pawl.errors import TaskError
from pawl.options.model import OptionsModel, Whole
from pawl.options.reading import ReadOptions

ExecutorName = Literal["auto", "inline", "processes"]
Deliver = Literal["likely", "proven"]
"""Which recipes may be delivered: those that are likely better, or only those shown to be."""
DEFAULT_BUDGET = "10m"
_PLAIN = (str, int, float, tuple)


class TaskOptions(ReadOptions):
    """What is to be optimized, where the source does not say it."""

    target: str | int | Sequence[str] | None = Field(
        default=None,
        description="Column to predict, or several, as in a,b: labels of two classes each, or numbers; "
        "by default target, label, ... or the last.",
    )
    metric: Any = Field(
        default=None,
        description="roc_auc, accuracy, f1, log_loss, rmse, mae, r2, ...; in Python also a function of "
        "targets and predictions, as in `Task.metric`. By the kind by default.",
    )
    test: Any = Field(
        default=None,
        description="Rows kept for the final claim; a stratified fifth of the data by default.",
    )
    kind: str | None = Field(
        default=None,
        description="binary, multiclass or regression; of several targets multilabel or multitarget; "
        "inferred by default.",
    )
    direction: str | None = Field(
        default=None, description="maximize or minimize: needed with a metric of your own."
    )

    @field_validator("target", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
            return given
        names = tuple(dict.fromkeys(str(name) for name in given))
        if not names:
            raise TaskError("got no target; name a column, or leave the target out")
        return names[0] if len(names) == 1 else names


class RunOptions(TaskOptions):
    """Where a task is worked on, and from which seed."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda.")
    seed: Whole = Field(
        default=0, ge=0, le=2**63 - 1, description="Decides splits, seeds and samples."
    )

    def of_task(self) -> dict[str, Any]:
        """Returns the options of task and reading that were given, as `resolve_task` takes them."""
        return {
            name: value for name, value in self.given.items() if name in TaskOptions.model_fields
        }


class PlanOptions(RunOptions):
    """Where members train."""

    executor: ExecutorName = Field(
        default="auto",
        description="Where members train on a CPU: inline (this process), processes (one per core) or "
        "auto (whichever is measured to be faster).",
    )


class Options(PlanOptions):
    """How a campaign is run: what repeats it, and what going on with it is held to."""

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
    # Not typed as a `Recipe`: its module imports torch, for which `pawl -h` should not wait.
    baseline: Any = Field(
        default=None,
        description="The recipe to start from and to beat, or its TOML file; by default what a "
        "competent person writes first.",
    )
    only: Sequence[str] | None = Field(
        default=None,
        description="Techniques that the search may bring in or vary, as in adamw,dropout; all by "
        "default.",
    )
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="Most passes of a training over its rows; by their number by default.",
    )
    average: Whole = Field(
        default=5,
        ge=1,
        le=10,
        description="Most models whose mean the bundle predicts, of those that the final test trains "
        "(one per seed); more cost latency and size, and predict better.",
    )
    deliver: Deliver = Field(
        default="likely",
        description="What the bundle may hold: likely (the recipe that is more likely better on rows "
        "that nothing was chosen by) or proven (the baseline, unless one is shown to be better).",
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _duration(cls, given: Any) -> Any:
        budgets.parse(given)
        return given

    @field_validator("only", mode="before")
    @classmethod
    def _techniques(cls, given: Any) -> tuple[str, ...]:
        names = () if isinstance(given, str) else [str(name) for name in given]
        split = [name.strip() for each in names for name in each.split(",")]
        if not split:
            raise TaskError(f"got only={given!r}; give a list of technique names")
        return tuple(dict.fromkeys(split))

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

    def record(self) -> dict[str, Any]:
        """Returns all options as JSON holds them; what are Python objects are left out.

        A budget is in seconds, a recipe is its tables, a path is text.
        """
        known: dict[str, Any] = {}
        for name in Options.model_fields:
            value = getattr(self, name)
            if name == "baseline" and value is not None and not isinstance(value, str | Path):
                value = value.to_dict()
            elif isinstance(value, Path):
                value = str(value)
            elif isinstance(value, tuple):
                value = list(value)
            if isinstance(value, str | int | float | list | dict | None):
                known[name] = value
        return {**known, "budget": self.seconds}

    def objects(self) -> list[str]:
        """Returns the names of those that only Python can give."""
        known = self.record()
        return [name for name in self.of_task() if name not in known]

    def repeated(self) -> dict[str, Any]:
        """Returns what a command that repeats the campaign must give: what differs from the defaults."""
        fields = Options.model_fields
        differing = {
            name: value
            for name, value in self.given.items()
            # What is no plain value, such as an array, may not compare.
            if name in fields and not (isinstance(value, _PLAIN) and value == fields[name].default)
        }
        if self.trials is None:
            differing["budget"] = DEFAULT_BUDGET if self.budget is None else self.budget
        if self.only is not None:
            differing["only"] = ",".join(self.only)
        return {name: differing[name] for name in in_order(Options) if name in differing}


_LISTENER = Field(
    default=None, description="Told how it goes on.", json_schema_extra={"python_only": True}
)


class Call(Options):
    """What `optimize` takes: a campaign's options, and where and how it is told."""

    out: str | Path | None = Field(
        default=None,
        description="Folder for report, bundle and ledger, new or empty; runs/NAME-TIME by default.",
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
    listener: Any = _LISTENER
    started: float | None = Field(
        default=None,
        description="`time.monotonic()` at which the budget began; now by default.",
        json_schema_extra={"python_only": True},
    )


class TrainCall(RunOptions):
    """What `train` takes beside a source and a recipe."""

    out: str | Path = Field(description="Folder for the bundle, new or empty.")
    listener: Any = _LISTENER


class CompareCall(RunOptions):
    """What `compare` takes beside a source and two recipes."""

    pairs: Whole = Field(
        default=20, ge=5, le=20, description="Most pairs; looks are after 5, 10 and these."
    )
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="Passes of a training over its rows; by their number by default.",
    )
    out: str | Path | None = Field(
        default=None, description="Folder for the ledger, new or empty; none is kept by default."
    )
    listener: Any = _LISTENER


def in_order(model: type[OptionsModel]) -> list[str]:
    """Returns the names of a model's options as they are shown: the task's first, reading's last."""
    names = model.model_fields
    reading = [name for name in ReadOptions.model_fields if name in names]
    task = [name for name in TaskOptions.model_fields if name in names and name not in reading]
    where = [
        name for name in PlanOptions.model_fields if name in names and name not in (*reading, *task)
    ]
    own = [name for name in names if name not in (*reading, *task, *where)]
    return [*task, *own, *where, *reading]
