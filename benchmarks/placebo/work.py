"""The jobs of a run, and what a worker process does with one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from campaigns import CASES, run
from pairing import PAIRINGS, measure
from techniques import join

import pawl

CAMPAIGNS = {"placebo": 45, "planted": 20, "coverage": 40, "noise": 60}
"""Campaigns of each case, by part."""
Job = tuple[str, int, int]


def jobs() -> Iterator[Job]:
    """Yields all jobs, the cases in turn, so that what was stopped early holds some of each."""
    for number in range(max(CAMPAIGNS.values())):
        for index, case in enumerate(CASES):
            if number < CAMPAIGNS[case.part]:
                yield case.part, index, number
        if number < len(PAIRINGS):
            yield "pairing", number, 0


def work(job: Job) -> dict[str, Any]:
    """Runs one job in a worker process."""
    part, index, number = job
    record = measure(PAIRINGS[index]) if part == "pairing" else run(CASES[index], number)
    return {"job": list(job), "sources": SOURCES, **record}


def prepare() -> None:
    """Sets a worker process up."""
    torch.set_num_threads(1)
    join()


def _digest() -> str:
    digest = hashlib.sha256()
    package = Path(pawl.__file__).parent
    rooms = ("search", "ensembling", "evidence")
    paths = [path for room in rooms for path in package.glob(f"{room}/*.py")]
    for path in sorted(p for p in paths if p.name != "final.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


SOURCES = _digest()
"""Of the code that decides what is kept, so that records of different protocols are told apart."""
