"""How a structure is best trained here: fused or one by one, and how many members at once."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from pawl.errors import PawlError
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.population import Layout, Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

Mode = Literal["fused", "serial"]

_MEMORY_BYTES = 2 << 30
_COPIES = 8  # weights, gradients, optimizer state, best and average weights, leaves and slack
_PROBE_STEPS = 4
_LONG_STEP_SECONDS = 0.03  # fusing would save a few milliseconds of these, and probing take seconds
_COMPILE_SECONDS, _COMPILED_SAVES, _STRUCTURE_SHARE = 45.0, 0.5, 0.08
_SERIAL_TYPES = (nn.RNNBase,)
_SERIAL_ON_CPU = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Plan:
    """How to train members of one structure.

    Attributes:
        mode: `fused` or `serial`.
        width: Most members at once.
        reason: Why, in a few words.
        compiled: Whether fused steps are compiled.
    """

    mode: Mode
    width: int
    reason: str
    compiled: bool = False

    def stepper(self) -> Stepper:
        """Returns a fresh stepper of this mode."""
        return FusedStepper(compiled=self.compiled) if self.mode == "fused" else SerialStepper()


def plan(
    problem: Problem,
    recipe: Recipe,
    member: Member,
    *,
    timed: bool,
    seconds_left: float | None = None,
) -> Plan:
    """Chooses how to train a structure.

    A structure that `vmap` cannot take runs serially. Otherwise, with `timed`, both modes take a
    few steps and the faster one is chosen; without, fixed rules decide, so that the same command
    gives the same plan: recurrent networks, and convolutions on a CPU, run serially, all else
    fused.

    Args:
        problem: The task.
        recipe: Any recipe of the structure.
        member: A member to probe with (its recipe is replaced).
        timed: Whether clocks may decide.
        seconds_left: Of the campaign's budget; with enough of them a fused structure is compiled.
    """
    probe = Member(recipe, member.seed, member.train, member.valid, member.epochs)
    _, body, _ = problem.build(recipe, probe.seed, probe.train)
    width = _width(Layout.of(body))
    if timed and problem.device.type == "cpu":
        seconds = _seconds_alone(problem, probe)
        if seconds > _LONG_STEP_SECONDS:
            return Plan("serial", width, f"{1e3 * seconds:.0f} ms a step: nothing left to save")
    refusal = _refusal(problem, probe)
    if refusal:
        return Plan("serial", width, refusal)
    if timed and problem.device.type == "cpu":
        chosen = _timed(problem, probe, width)
        compiled = chosen.mode == "fused" and _compiling_pays(seconds_left)
        return dataclasses.replace(chosen, compiled=compiled)
    modules = list(body.modules())
    if any(isinstance(m, _SERIAL_TYPES) for m in modules):
        return Plan("serial", width, "recurrent layers gain nothing from fusing")
    if problem.device.type == "cpu" and any(isinstance(m, _SERIAL_ON_CPU) for m in modules):
        return Plan("serial", width, "convolutions on a CPU")
    return Plan("fused", width, "vmap takes the model")


def _compiling_pays(seconds_left: float | None) -> bool:
    """Tells whether a structure's share of the time left is worth compiling its step.

    Compiling takes 15 to 30 seconds on two cores, twice where the population shrinks, and at best
    halves a step; without a C++ compiler it cannot be done.
    """
    if seconds_left is None or shutil.which("c++") is None:
        return False
    return _STRUCTURE_SHARE * seconds_left * _COMPILED_SAVES > _COMPILE_SECONDS


def _width(layout: Layout) -> int:
    weights = max(1, sum(layout.sizes))
    return max(1, min(64, _MEMORY_BYTES // (4 * _COPIES * weights)))


def _refusal(problem: Problem, probe: Member) -> str | None:
    """Says why two members cannot take a fused step; `None` if they can."""
    try:
        population = Population(problem, [probe, probe], FusedStepper())
        population.advance(1)
        population.predict(problem.examples, probe.valid[:2])
    except PawlError:
        raise
    except Exception as error:  # whatever vmap cannot take: data-dependent code, missing rules
        first = str(error).strip().splitlines()
        return f"vmap refuses the model ({first[0][:120] if first else type(error).__name__})"
    return None


def _seconds_alone(problem: Problem, probe: Member) -> float:
    """Measures a serial step by the processor's clock, which a busy machine does not stretch."""
    population = Population(problem, [probe], SerialStepper())
    population.advance(1)
    started = time.thread_time()
    population.advance(1)
    return time.thread_time() - started


def _timed(problem: Problem, probe: Member, width: int) -> Plan:
    members = [probe] * min(8, width)
    seconds: dict[Mode, float] = {}
    for mode in ("fused", "serial"):
        population = Population(problem, members, Plan(mode, width, "").stepper())
        population.advance(1)
        started = time.perf_counter()
        population.advance(_PROBE_STEPS)
        seconds[mode] = (time.perf_counter() - started) / _PROBE_STEPS / len(members)
    best: Mode = min(seconds, key=lambda mode: seconds[mode])
    reason = ", ".join(f"{mode} {1e3 * s:.2f} ms" for mode, s in seconds.items())
    return Plan(best, width, f"{reason} per step and member")


def pick_device(name: str) -> torch.device:
    """Returns the device named, or with `auto` the best there is.

    Raises:
        PawlError: The device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise PawlError("device 'cuda' is not available here; use --device cpu or auto")
    if name not in ("cpu", "cuda"):
        raise PawlError(f"unknown device {name!r}; use auto, cpu or cuda")
    return torch.device(name)
