"""The ways in which members of one structure can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pawl.training.fused import FusedStepper
from pawl.training.serial import SerialStepper
from pawl.training.stepper import Stepper

Mode = Literal["fused", "serial"]


@dataclass(frozen=True)
class TrainingWay:
    """One way to train members of a structure.

    Attributes:
        mode: `fused` (all members of a population at once) or `serial` (one after the other).
        width: Most members of a population.
        compiled: Whether fused steps are compiled.
        workers: Processes that train at once, with one thread each; 1 is this process.
        fewest: Fewest members that a fused population starts with; fewer train one after the other.
        threads: How many take a step together, where this process trains.
        channels_last: Whether serial steps see images with the channels of a pixel side by side.
    """

    mode: Mode
    width: int
    compiled: bool = False
    workers: int = 1
    fewest: int = 2
    threads: int = 1
    channels_last: bool = False

    def stepper(self, members: int) -> Stepper:
        """Returns a fresh stepper for populations that start with so many members.

        Few members share too little of a step, and plain steps are the cheapest.
        """
        if self.mode == "serial" or members < self.fewest:
            return SerialStepper(channels_last=self.channels_last)
        if self.compiled:
            return FusedStepper(backend="inductor", width=self.width)
        return FusedStepper()

    def __str__(self) -> str:
        compiled = " and compiled" if self.compiled else ""
        where = f" in {self.workers} processes" if self.workers > 1 else ""
        where += f" with {self.threads} threads" if self.threads > 1 else ""
        where += ", channels last" if self.channels_last else ""
        fewest = f"{self.fewest} to " if self.fewest > TrainingWay.fewest else ""
        return f"{self.mode}{compiled}, {fewest}{self.width} at once{where}"
