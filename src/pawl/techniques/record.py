"""What every technique's record has, whatever its stage; see `pawl.techniques.stages` for those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from pawl.data.types import Inputs, Schema


class Stage(StrEnum):
    """Where in a trial a technique acts, in the order of a trial.

    What fits in one go takes the place of all stages behind the first.
    """

    DATA = "data"
    MODEL = "model"
    BATCH = "batch"
    LOSS = "loss"
    GRADIENT = "gradient"
    SCHEDULE = "schedule"
    UPDATE = "update"
    WEIGHTS = "weights"
    AVERAGE = "average"
    STOP = "stop"
    FIT = "fit"


STAGES = tuple(Stage)


class Phase(IntEnum):
    """When inside its stage a technique acts; within a phase they act in the order of their names.

    Data: rows, then what they weigh, then inputs that are added, then what is fitted on all. Model: its
    blocks, their size, what is in front of and around them, what goes behind each layer, first weights,
    then how the whole is called and in which digits (its layers and weights stay). Batch: where things
    are, what they are, then what mixes rows. Loss and gradient: what takes its place, the thing itself,
    then limits, then what is added. Weights: the thing itself, then limits.
    """

    ROWS = 10
    REPEATED_ROWS = 11
    ADDED_ROWS = 12
    ROW_WEIGHTS = 15
    INPUTS = 18
    FITTED = 20
    BLOCKS = 30
    WIDTH = 31
    DEPTH = 32
    ENCODING = 33
    COPIES = 34
    ACTIVATION = 35
    NORMALIZATION = 36
    GATES = 37
    DROPOUT = 38
    START = 39
    PRECISION = 40
    GEOMETRY = 41
    VALUES = 42
    MIXTURE = 43
    INSTEAD = 49
    TERM = 50
    LIMIT = 51
    PENALTY = 52


class Settings(BaseModel):
    """Base of every technique's settings; the bounds of the fields are the search space."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def number(default: float, low: float, high: float, description: str, *, log: bool = False) -> Any:
    """Declares a number in `[low, high]`, searched on a log scale if `log`."""
    return Field(default, ge=low, le=high, description=description, json_schema_extra={"log": log})


@dataclass(frozen=True)
class Facts:
    """What a technique may know of the task to say whether it fits.

    Attributes:
        schema: The data's schema.
        own_model: The model is the user's, or their modality's.
        own_loss: The user gave the loss.
        module: A freshly built module of the task, to look at, not to change.
        sample: A few rows of inputs as the module takes them.
        num_rows: Development rows.
        pretrained: Whether weights of a model of the user's are the same for every seed.
        refusals: What is known of techniques on this task, by name; see `pawl.techniques.refusal`.
    """

    schema: Schema
    own_model: bool
    own_loss: bool
    module: nn.Module
    sample: Inputs
    num_rows: int
    pretrained: bool = False
    refusals: dict[str, str | None] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )


def fits_every_task(_: Facts) -> str | None:
    """Refuses nothing."""
    return None


def suits_every_task(_settings: Any, _facts: Facts) -> str | None:
    """Refuses no settings."""
    return None


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One named idea: a pure function, and where it goes and what it takes.

    Each stage has a class of its own, with the signature of the function.

    Attributes:
        stage: Where it acts.
        name: Unique, in snake case; a recipe's table has this name.
        summary: One line for listings.
        reference: The paper or document it comes from.
        apply: The function.
        settings: Its settings' model.
        group: At most one technique of a group is in a recipe (`optimizer`, `schedule`, ...).
        conflicts: Names of techniques it cannot be combined with, beside those of its group.
        memberwise: Settings that may differ between the members of a fused population.
        phase: When inside its stage it acts.
        fits: Says why it does not fit a task; `None` if it does.
        suits: Says why these settings of it do not suit a task that it fits; `None` if they do.
        searched: Whether campaigns add it and vary its settings; what is not searched but is in the
            baseline stays as it is.
        family: The part of the package it is from; empty for one that a user registered.
    """

    stage: ClassVar[Stage]

    name: str
    summary: str
    reference: str
    apply: Callable[..., Any]
    settings: type[Settings] = Settings
    group: str | None = None
    conflicts: frozenset[str] = frozenset()
    memberwise: frozenset[str] = frozenset()
    phase: Phase = Phase.TERM
    fits: Callable[[Facts], str | None] = fits_every_task
    suits: Callable[[Any, Facts], str | None] = suits_every_task
    searched: bool = True
    family: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        unknown = self.memberwise - set(self.settings.model_fields)
        if unknown:
            raise ValueError(f"technique {self.name!r}: no such memberwise settings: {unknown}")
