"""Checks of the machine that pawl runs on."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pawl.data import load, resolve_task, split_rows
from pawl.deployment import check_parity, to_onnx
from pawl.environment import hardware, versions
from pawl.execution import Job, Memory, pick_device, pick_executor, plan, train_all
from pawl.ledger import Ledger
from pawl.models import Deployed
from pawl.search import baseline, starts
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

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
    return {"hardware": hardware(device), "versions": versions(), "checks": checks}


def plans(source: str, *, target: str | None, executor: str) -> list[dict[str, Any]]:
    """Measures how the models of a campaign on this data are best trained, an hour long.

    Returns:
        For the baseline and the recipes known to be good: the ways that were timed, JSON-ready, and
        the one chosen.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    device = pick_device("auto")
    allowed = pick_executor(executor, device)
    task = resolve_task(source, target=target)
    problem = Problem.of(task, load(task), device)
    facts = problem.facts()
    first = baseline(facts)
    train, valid = split_rows(problem.targets, problem.schema.kind, 0.2, 0)
    found = []
    recipes = {recipe.structure: recipe for recipe in (first, *starts(first, facts))}
    for recipe in recipes.values():
        member = Member(recipe, 0, train, valid, 1000)
        chosen = plan(
            problem, recipe, member, timed=True, ahead=lambda _: _AN_HOURS_SHARE, executor=allowed
        )
        timings = [
            {
                "way": str(way),
                "ms": 1e3 * measured.seconds if math.isfinite(measured.seconds) else None,
                "setup_s": measured.setup,
                "chosen": (way.mode, way.compiled, way.workers, way.width)
                == (chosen.way.mode, chosen.way.compiled, chosen.way.workers, chosen.way.width),
            }
            for way, measured in Memory(problem, recipe, member).known.items()
        ]
        name = "baseline" if recipe == first else recipe.describe(first)
        found.append(
            {"recipe": name, "chosen": str(chosen.way), "reason": chosen.reason, "timings": timings}
        )
    return found


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
    front, body, fitted = problem.build(member.recipe, 0, member.train)
    model = Deployed(problem.schema, front, body, fitted.target_mean, fitted.target_std).cpu()
    rows = problem.examples.to("cpu")
    difference = check_parity(model, to_onnx(model, rows.take(torch.arange(4))), rows)
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
