"""How a structure is best trained here: fused or one by one, compiled or not, in how many processes."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.errors import PawlError
from pawl.execution.choosing import Takes, TrainingSeconds, choose
from pawl.execution.devices import has_compiler, memory_of, places, synchronize
from pawl.execution.measuring import TimingCache, probes
from pawl.execution.ways import TrainingWay
from pawl.models.layout import Layout
from pawl.options import ExecutorName
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper
from pawl.training.stepper import Stepper

_MEMORY_SHARE = 0.1  # of what there is, for weights and optimizer states
_ACTIVATIONS_SHARE = 0.3  # for what a step keeps for its backward pass
_COPIES = 8  # weights, gradients, optimizer state, best and average weights, leaves and slack
_WIDEST = 64
_LONG_STEP_SECONDS = 0.03  # fusing would save a few milliseconds of these, and probing take seconds
_LONG_AHEAD = 1000
_SERIAL_TYPES = (nn.RNNBase,)
_SERIAL_ON_CPU = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Plan:
    """How to train members of one structure.

    Attributes:
        way: The way.
        reason: Why, in a few words.
        seconds: What a step takes for each member, as it was timed; `None` if it was not.
    """

    way: TrainingWay
    reason: str
    seconds: float | None = None

    @property
    def timed(self) -> bool:
        """Whether clocks may decide how members train."""
        return self.seconds is not None

    @property
    def width(self) -> int:
        """Most members of a population."""
        return self.way.width

    @property
    def workers(self) -> int:
        """Processes that train at once; 1 is this one."""
        return self.way.workers

    def stepper(self, members: int) -> Stepper:
        """Returns a fresh stepper for populations that start with so many members."""
        return self.way.stepper(members)

    def narrowed(self, width: int) -> Plan:
        """Returns the plan for narrower populations."""
        return replace(self, way=replace(self.way, width=width))

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as the ledger keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Plan:
        """Returns the plan that `to_dict` wrote."""
        return cls(TrainingWay(**given["way"]), given["reason"], given["seconds"])


def plan(
    problem: Problem,
    recipe: Recipe,
    member: Member,
    *,
    timed: bool,
    training_seconds: TrainingSeconds = lambda _: 0.0,
    executor: ExecutorName = "auto",
    anew: bool = False,
) -> Plan:
    """Chooses how to train a structure.

    A structure that `vmap` cannot take runs serially, and so does what fits without steps. Otherwise,
    with `timed`, the ways take a few steps each, as far as that is little beside the training ahead,
    and the one is chosen that ends first, compiling included; without, fixed rules decide, so that the
    same command gives the same plan: recurrent networks, and convolutions on a CPU, run serially, all
    else fused; on a CPU in as many processes as there are cores to use.

    Args:
        problem: The task.
        recipe: Any recipe of the structure.
        member: A member to probe with (its recipe is replaced).
        timed: Whether clocks may decide.
        training_seconds: How long the structure will train, given seconds per step and member.
        executor: Where steps may run: `inline`, `processes`, or `auto` for whichever is faster.
        anew: Whether what was timed before is forgotten.
    """
    where = places(problem.device, executor)
    workers = where[0].workers
    if recipe.learner:
        return Plan(TrainingWay("serial", 1, workers=workers), "fits in one go, in one thread")
    front, body, fitted = problem.build(recipe, member.seed, member.train)
    seen = fitted.take(
        problem.examples, fitted.rows[: -(-fitted.batch_size // fitted.pieces)]
    ).inputs
    width = _width(problem, body, _activations(front, body, seen), workers)
    (probe,) = probes(recipe, member, 1)
    modules = list(body.modules())
    of_images = any(isinstance(m, nn.Conv2d) for m in modules)
    if timed:
        seconds = _seconds_alone(problem, probe)
        if seconds > _LONG_STEP_SECONDS and training_seconds(seconds) < _LONG_AHEAD * seconds:
            last = _seconds_alone(problem, probe, channels_last=True) if of_images else math.inf
            way = TrainingWay("serial", width, workers=workers, channels_last=last < seconds)
            seconds = min(seconds, last)
            return Plan(way, f"{1e3 * seconds:.0f} ms a step: nothing left to save", seconds)
    refusal = _refusal(problem, probe)
    on_cpu = problem.device.type == "cpu"
    convolves = on_cpu and any(isinstance(m, _SERIAL_ON_CPU) for m in modules)
    if timed:
        # Kernels of convolutions on a CPU are called as they are: a compiler has nothing to save.
        compiles = has_compiler(problem.device) and not convolves
        memory = TimingCache(problem, probe.recipe, probe)
        if anew:
            memory.forget()
        takes = Takes(refusal, compiles, of_images)
        return Plan(*choose(problem, probe, where, width, training_seconds, takes, memory))
    recurs = any(isinstance(m, _SERIAL_TYPES) for m in modules)
    # Several threads pay for large steps only, and nothing is timed here.
    threads = where[-1].threads if workers == 1 and (recurs or convolves) else 1
    serial = TrainingWay("serial", width, workers=workers, threads=threads)
    if refusal:
        return Plan(serial, refusal)
    if recurs:
        return Plan(serial, "recurrent layers gain nothing from fusing")
    if convolves:
        return Plan(serial, "convolutions on a CPU")
    return Plan(TrainingWay("fused", width, workers=workers), "vmap takes the model")


def _width(problem: Problem, body: nn.Module, activations: int, workers: int) -> int:
    """Returns how many members fit into a share of the memory: their weights, and their activations."""
    memory = memory_of(problem.device) / workers
    states = 4 * _COPIES * max(1, sum(Layout.of(body).sizes))
    fits = min(_MEMORY_SHARE * memory / states, _ACTIVATIONS_SHARE * memory / max(1, activations))
    return max(1, min(_WIDEST, int(fits)))


def _activations(front: nn.Module, body: nn.Module, inputs: Inputs) -> int:
    """Returns the bytes that a batch's forward pass keeps for the backward pass, weights aside.

    0 where the model does not run by itself; what is wrong with it is said elsewhere.
    """
    weights = {p.untyped_storage().data_ptr() for p in body.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    outputs = []  # what is kept stays where it is, so that no other tensor takes its place
    try:
        with (
            torch.enable_grad(),
            torch.random.fork_rng(devices=[]),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
        ):
            outputs.append(body.eval()(front(inputs)))
    except Exception:  # the user's own code
        return 0
    return sum(kept.values())


def _refusal(problem: Problem, probe: Member) -> str | None:
    """Says why two members cannot take a fused step; `None` if they can."""
    try:
        population = Population(problem, [probe, probe], FusedStepper())
        if population.program.alone:
            return "images change their size as a member trains"
        population.advance(1)
        population.predict(problem.examples, probe.valid[:2])
    except PawlError:
        raise
    except Exception as error:  # whatever vmap cannot take: data-dependent code, missing rules
        first = str(error).strip().splitlines()
        return f"vmap refuses the model ({first[0][:120] if first else type(error).__name__})"
    return None


def _seconds_alone(problem: Problem, probe: Member, *, channels_last: bool = False) -> float:
    """Measures a serial step; on a CPU by its own clock, which a busy machine does not stretch.

    With channels last it is infinite where the model fails, as one does that takes views of its images.
    """
    clock = time.thread_time if problem.device.type == "cpu" else time.perf_counter
    population = Population(problem, [probe], SerialStepper(channels_last=channels_last))
    try:
        population.advance(1)
        synchronize(problem.device)
        started = clock()
        population.advance(1)
        synchronize(problem.device)
    except Exception:
        if not channels_last:
            raise
        return math.inf
    return clock() - started
