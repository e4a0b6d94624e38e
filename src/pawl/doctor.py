"""Checks of the machine that pawl runs on."""

from __future__ import annotations

import copy
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pawl.cores import cores
from pawl.data import load, resolve_task, split_rows
from pawl.deployment import check_parity
from pawl.environment import hardware, versions
from pawl.execution import (
    Job,
    TimingCache,
    available,
    driving,
    pick_device,
    pick_executor,
    plan,
    slowdown_of_threads,
    train_all,
)
from pawl.ledger import Ledger
from pawl.models import concealed
from pawl.models.operations import traced
from pawl.models.surgery import activations, observe
from pawl.options import PlanOptions
from pawl.search import baseline
from pawl.task import Task
from pawl.techniques import Facts, ModelTechnique, refusal, techniques
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.trained import untrained

_MUCH_SLOWER = 1.2
_AN_HOURS_SHARE = 288.0
"""Seconds that one structure trains in a campaign of an hour."""


def examine() -> dict[str, Any]:
    """Returns versions, hardware and the outcome of each check, JSON-ready."""
    device = pick_device("auto")
    checks = [
        _check("train", _train, needed=True),
        _check("export", _export, needed=True),
        _check("ledger", _ledger, needed=True),
        _check("compiler", _compiler, needed=False),
        _check("accelerator", _accelerator, needed=False),
    ]
    return {
        "hardware": hardware(device), "versions": versions(), "cores": _cores(), "checks": checks,
    }  # fmt: skip


def _cores() -> str:
    """Says what may be used of the machine, and what threads are worth just now."""
    found, threads = cores(), available()
    told = f"{threads} to use ({found})"
    if threads == 1:
        return told
    slower = slowdown_of_threads(threads)
    if slower > _MUCH_SLOWER:
        return (
            f"{told}; {threads} threads are {slower:.1f} times slower than 1 just now: the cores are "
            "shared"
        )
    return f"{told}; {threads} threads are {1 / slower:.1f} times as fast as 1 just now"


@driving()
def timings(source: Any, options: PlanOptions) -> dict[str, Any]:
    """Measures how the baseline of a campaign of an hour on this data is best trained here.

    Returns:
        The ways that were timed, the one chosen and why, JSON-ready.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    device = pick_device(options.device)
    allowed = pick_executor(options.executor, device)
    task = resolve_task(source, **options.of_task())
    problem = Problem.of(task, load(task, seed=options.seed), device)
    recipe = baseline(problem.facts())
    member = Member(recipe, 0, *split_rows(problem.targets, problem.schema.kind, 0.2, 0), 1000)
    chosen = plan(
        problem,
        recipe,
        member,
        timed=True,
        training_seconds=lambda _: _AN_HOURS_SHARE,
        executor=allowed,
    )
    known = TimingCache(problem, recipe, member).known
    ways = [
        {
            "way": str(way),
            "ms": 1e3 * measured.seconds if math.isfinite(measured.seconds) else None,
            "compile_s": measured.setup,
        }
        for way, measured in known.items()
    ]
    return {"chosen": str(chosen.way), "reason": chosen.reason, "ways": ways}


def anatomy(source: Any, options: PlanOptions) -> dict[str, Any]:
    """Says what is seen of a task's model, and what each technique that changes a model could do.

    Returns:
        Activations with the shapes that they see, all operations with their addresses, and techniques
        with why they do not fit, JSON-ready.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    task = resolve_task(source, **options.of_task())
    facts = Problem.of(task, load(task, seed=options.seed)).facts()
    called = "as a function"
    seen = observe(facts.module, activations(facts.module), facts.sample)
    return {
        "model": type(getattr(facts.module, "module", facts.module)).__name__,
        "activations": [
            {
                "name": _address(name),
                "called": called if name.startswith("calls.") else "as a module",
                "is": str(facts.module.get_submodule(name)),
                "shapes": sorted({_shape(shape) for shape in shapes}),
            }
            for name, shapes in seen.items()
        ],
        "operations": _operations(facts),
        "techniques": [
            {"name": each.name, "reason": refusal(each, facts)}
            for each in techniques()
            if isinstance(each, ModelTechnique)
        ],
    }


def _address(name: str) -> str:
    return name.replace("/", ".").removeprefix("calls.").removeprefix("module.")


def _shape(shape: tuple[int, ...]) -> str:
    return str(["B", *shape[1:]]).replace("'", "")


def _operations(facts: Facts) -> list[dict[str, Any]]:
    """Returns what the module does in one forward, in training and in evaluation."""
    module = concealed(copy.deepcopy(facts.module))
    both = [traced(module, lambda m: m(facts.sample), training=each)[0] for each in (False, True)]
    evaluated, trained = ({op.address for op in trace.operations} for trace in both)
    found = {op.address: (op, trace) for trace in reversed(both) for op in trace.operations}
    only = {True: "only in training", False: "only in evaluation"}
    return [
        {
            "address": _address(address),
            "is": op.name,
            "takes": [_shape(trace.shapes[number]) for number in op.inputs],
            "gives": [_shape(trace.shapes[number]) for number in op.outputs],
            "when": "always" if address in evaluated & trained else only[address in trained],
        }
        for address, (op, trace) in found.items()
        if not address.startswith(":")  # what makes one vector of a table's inputs
    ]


def _check(name: str, work: Callable[[], str], *, needed: bool) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": work(), "needed": needed}
    except Exception as error:  # whatever is wrong with the machine is the finding
        first = str(error).strip().splitlines() or [type(error).__name__]
        return {"name": name, "ok": False, "detail": first[0], "needed": needed}


def _problem() -> tuple[Problem, Member]:
    task = Task(data="breast-cancer")
    problem = Problem.of(task, load(task), pick_device("auto"))
    rows = torch.arange(len(problem.examples))
    return problem, Member(baseline(problem.facts()), 0, rows[:300], rows[300:], 2)


def _train() -> str:
    problem, member = _problem()
    chosen = plan(problem, member.recipe, member, timed=False)
    (result,) = train_all(problem, [Job(member)], lambda _: chosen)
    if result.outcome.score is None:
        raise RuntimeError(f"a small model ended as {result.outcome.status}")
    return f"a small model trains ({chosen.way})"


def _export() -> str:
    problem, member = _problem()
    fresh = untrained(problem, member.recipe, 0, member.train)
    rows = problem.examples.to("cpu")
    difference = check_parity(fresh, fresh.graph(rows.take(torch.arange(4))), rows)
    return f"ONNX Runtime agrees with PyTorch to {difference:.1g}"


def _ledger() -> str:
    with tempfile.TemporaryDirectory() as folder, Ledger.create(Path(folder) / "x", {}) as ledger:
        ledger.decide("probe", lambda: 1)
    return "a ledger can be written"


def _compiler() -> str:
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        raise RuntimeError("no C++ compiler; torch.compile is not used")
    return found


def _accelerator() -> str:
    if not torch.cuda.is_available():
        raise RuntimeError("none; everything runs on the CPU")
    return torch.cuda.get_device_name()
