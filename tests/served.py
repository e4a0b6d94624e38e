"""A dashboard over a folder, served in this process, and what asks it as a stranger would."""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawl.ledger import Ledger, Progress, TrialRecord, started_of, write_progress
from pawl.serving.dashboard import application
from pawl.serving.finding import Campaigns
from pawl.serving.listening import bound
from pawl.serving.running import server
from pawl.serving.security import Access


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Served:
    """A running dashboard."""

    campaigns: Campaigns
    access: Access
    port: int

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def first(self) -> str:
        """The path of its first campaign."""
        return f"/c/{self.campaigns.all()[0].id}"

    def ask(
        self, path: str, method: str = "GET", *, cookie: str | None = "", **headers: str
    ) -> Answer:
        """Asks for a path as it is written; with the token by default, without for `cookie=None`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            sent = {"Host": f"127.0.0.1:{self.port}"}
            if cookie is not None:
                sent["Cookie"] = cookie or f"{self.access.cookie}={self.access.token}"
            for name, value in (sent | headers).items():
                if value:
                    connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            body = b"" if path.endswith("/events") and answer.status == 200 else answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, body.decode(errors="replace"))
        finally:
            connection.close()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serves the campaigns in a folder on a free port."""
    campaigns = Campaigns(folder)
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        access = Access.of("127.0.0.1", port)
        running = server(application(campaigns, access))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield Served(campaigns, access, port)
        finally:
            running.should_exit = True
            thread.join()


def trial(number: int, points: int = 20, **changed: Any) -> TrialRecord:
    """A made-up training: its score depends on its learning rate."""
    rate = 10 ** (-4 + 3 * (number * 0.618 % 1))
    top = 1 - 0.1 * abs(math.log10(rate) + 2.5)
    known: dict[str, Any] = {
        "phase": "search", "role": "generation 0", "recipe_id": f"{number:012x}", "seed": number,
        "recipe": {
            "standardize": {}, "adamw": {"learning_rate": rate},
            **({"dropout": {"rate": 0.1 + 0.01 * (number % 7)}} if number % 3 else {}),
        },
        "split": "search", "epochs": 10, "steps": 10 * points, "seconds": 0.5, "score": top,
        "status": "pruned" if number % 2 else "completed",
        "curve": [[10 * k, 1 / (1 + k * rate), top * (1 - math.exp(-k / 9))] for k in range(1, points)],
    }  # fmt: skip
    return TrialRecord(**(known | changed))


def layers(name: str = "first.weight") -> dict[str, Any]:
    """What instruments would read of two layers at three steps; one number is missing."""
    return {
        "names": [name, "second.weight"], "steps": [10, 20, 40],
        "norms": [[2.0, 3.0], [2.5, 3.0], [3.0, 3.0]],
        "gradients": [[0.5, 0.05], [0.25, 0.0], [0.1, 0.001]],
        "moved": [[0.01, 0.02], [0.01, None], [0.001, 0.002]],
    }  # fmt: skip


def watched(name: str = "first.weight") -> dict[str, Any]:
    """A training that a diagnosis would have watched, as its ledger keeps it."""
    weights = [
        {"name": each, "axes": 2, "norm": 2.0, "gradient": 0.1, "moved": 0.01, "distance": 0.1}
        for each in (name, "second.weight")
    ]
    unit = {"name": name, "function": "ReLU", "units": 8, "mean": 0.1, "std": 0.4, "dead": 0.25,
            "saturated": 0.0, "alike": 0.0}  # fmt: skip
    readings = [
        {"step": step, "rate": 0.01, "train_loss": 1 / (1 + step), "valid_loss": None,
         "weights": weights, "units": [unit]}
        for step in (0, 16, 40)
    ]  # fmt: skip
    return {"training": {"status": "completed", "readings": readings}, "findings": []}


def ledger(folder: Path, trials: int = 40, points: int = 20, **identity: Any) -> Ledger:
    """A ledger of made-up trainings, open."""
    known = {
        "name": "made-up",
        "source": "made-up.csv",
        "options": {"budget": 600.0, "trials": None},
    }
    made = Ledger.create(folder, known | identity)
    for start in range(0, trials, 20):
        there = [trial(number, points) for number in range(start, min(trials, start + 20))]
        made.record(f"search/{start // 20}", "search", {}, there, 10.0)
    return made


def said(folder: Path, **changed: Any) -> None:
    """Leaves beside a ledger what a process that works on it would, this one by default."""
    import os

    known: dict[str, Any] = {
        "phase": "search", "detail": "generation 3", "trained": 40, "best": 0.9, "elapsed": 60.0,
        "left": 540.0, "metric": "roc_auc", "direction": "maximize", "pid": os.getpid(),
        "started": started_of(os.getpid()), "unix_time": time.time(),
    }  # fmt: skip
    write_progress(folder, Progress(**(known | changed)))
