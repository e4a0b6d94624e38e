"""Options of campaigns: one field each, of which Python's face, commands and records are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from pawl.errors import TaskError, did_you_mean
from pawl.options.limits import LimitOptions
from pawl.options.model import OptionsModel, Whole
from pawl.options.reading import ReadOptions
from pawl.options.shared import (
    LISTENER,
    Ensemble,
    ExecutorOptions,
    ResumeOptions,
    SearchOptions,
    SeedOptions,
    listed,
)

_OBJECTIVES = ("score", "latency", "size")


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

    weights: Any = Field(
        default=None,
        description="What the model starts from: a .safetensors file, a PyTorch file of tensors, or a "
        "bundle; in Python also names and tensors. Random weights by default.",
    )
    allow_partial: bool = Field(
        default=False,
        description="Start from weights though they match less than nine tenths of the model's body.",
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


class RunOptions(TaskOptions, SeedOptions):
    """Where a task is worked on, and from which seed."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda.")
    deterministic: bool = Field(
        default=False,
        description="Use only operations that give the same each time, which costs speed on a GPU, and "
        "fails by name where there is none; a campaign counted in trials then repeats there too. On a "
        "CPU it does anyway.",
    )

    def of_task(self) -> dict[str, Any]:
        """Returns the options of task and reading that were given, as `resolve_task` takes them."""
        return {
            name: value for name, value in self.given.items() if name in TaskOptions.model_fields
        }


class PlanOptions(RunOptions, ExecutorOptions):
    """Where members train."""


class Options(LimitOptions, PlanOptions, SearchOptions):
    """How a campaign is run: what repeats it, and what going on with it is held to."""

    # Not typed as a `Recipe`: its module imports torch, for which `pawl -h` should not wait.
    baseline: Any = Field(
        default=None,
        description="The recipe to start from and to beat, or its TOML file; by default what a "
        "competent person writes first.",
    )
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="Most passes of a training over its rows; by their number by default.",
    )
    folds: Whole = Field(
        default=1,
        ge=1,
        le=20,
        description="Folds of a cross-validation that scores each trial of the search by their mean, of "
        "the rows that choices are judged on; each trial then trains so many times. 1 is one split.",
    )
    warm_start: str | Path | None = Field(
        default=None,
        description="Folder of another campaign on such a task, whose best recipes are tried first.",
    )
    objectives: Sequence[str] | None = Field(
        default=None,
        description="What the search looks for at once, as in score,size: score, latency (by the "
        "operations of a row) and size (by the weights); the report then has the front of trade-offs. "
        "The score alone by default, and what is delivered is always the best by score.",
    )
    max_parameters: Whole | None = Field(
        default=None,
        ge=1,
        description="Most weights of a network: a recipe that has more is not trained. What is averaged "
        "or blended holds several networks; trees have no weights.",
    )
    families: Sequence[str] | None = Field(
        default=None,
        description="Families of models: nets, and for tables boosting (of nets), linear, neighbors and "
        "trees, as in nets,trees; all that fit by default, and nets alone where the model is your own.",
    )
    ensemble: Ensemble = Field(
        default="auto",
        description="How recipes are blended: greedy (each as often as it helps), mean (the best, "
        "equally), linear (the shares of least loss), auto (whichever of these scores best out of "
        "fold), stacked (linear, corrected by boosted trees where they help out of fold), snapshots (of "
        "one training of the best network, whose rate falls in cycles, what it has at each end) or none "
        "(one recipe).",
    )
    average: Whole = Field(
        default=5,
        ge=1,
        le=10,
        description="Most models whose mean the bundle predicts, of those that the final test trains "
        "(one per seed); more cost latency and size, and predict better.",
    )

    coverage: float | None = Field(
        default=None,
        ge=0.5,
        le=0.999,
        description="Also predict an interval for each value, or a set of classes, that holds the truth "
        "of such a share of new rows, as in 0.9.",
    )

    @field_validator("families", mode="before")
    @classmethod
    def _families(cls, given: Any) -> tuple[str, ...]:
        return listed("families", given)

    @field_validator("objectives", mode="before")
    @classmethod
    def _objectives(cls, given: Any) -> tuple[str, ...]:
        names = listed("objectives", [given] if isinstance(given, str) else given)
        for name in names:
            if name not in _OBJECTIVES:
                raise TaskError(
                    f"got the objective {name!r}{did_you_mean(name, _OBJECTIVES)}; allowed are "
                    f"{', '.join(_OBJECTIVES)}"
                )
        if "score" not in names:
            raise TaskError(f"got the objectives {', '.join(names)}; score must be one of them")
        return names

    def objects(self) -> list[str]:
        """Returns the names of those that only Python can give."""
        known = self.record()
        return [name for name in self.of_task() if name not in known]


class Call(Options, ResumeOptions):
    """What `optimize` takes: a campaign's options, and where and how it is told."""


class TuneOptions(SearchOptions, ExecutorOptions, SeedOptions):
    """How a campaign over a function is run."""


class TuneCall(TuneOptions, ResumeOptions):
    """What `tune` takes: a campaign's options, and where and how it is told."""


class TrainCall(RunOptions):
    """What `train` takes beside a source and a recipe."""

    out: str | Path = Field(description="Folder for the bundle, new or empty.")
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="Passes of the training over its rows; by their number by default.",
    )
    listener: Any = LISTENER


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
    listener: Any = LISTENER


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
