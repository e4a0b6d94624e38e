"""What benchmarks share: records that a stopped run goes on from, arguments, intervals, cores, ends."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import stats

Record = dict[str, Any]
Key = tuple[Any, ...]
T = TypeVar("T")
FILES = Path(__file__).resolve().parents[2] / "shared" / "data"
_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM", "LOKY_MAX_CPU")
_writing = threading.Lock()
_running: set[int] = set()  # process groups of commands


def read(path: Path) -> list[Record]:
    """Returns the records so far; a last line that was cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records


def append(path: Path, record: Record) -> None:
    """Adds a record, on a line of its own even behind one that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _writing, path.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        if file.read(1) not in (b"", b"\n"):
            file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")


def computed(path: Path | None, key: Sequence[Any], compute: Callable[[], Record]) -> Record:
    """Returns the record of this key, from the file if it is there; appends it otherwise.

    Args:
        path: JSONL file; `None` to keep nothing.
        key: What makes work the same; kept as `key` beside the record.
        compute: Does the work.
    """
    wanted = json.loads(json.dumps(list(key)))
    for record in read(path) if path else ():
        if record.pop("key", None) == wanted:
            return record
    record = compute()
    if path:
        append(path, {"key": wanted, **record})
    return record


def numbers(text: str) -> list[int]:
    """Returns the whole numbers of `0-4,7`; for `type=` of an argument."""
    found: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError:
        found = []
    if not found:
        raise argparse.ArgumentTypeError(f"got {text!r}; give whole numbers such as 0-4,7")
    return found


def named(text: str, allowed: Sequence[str], what: str) -> list[str]:
    """Returns the names that an argument lists; ends the process if one of them is not allowed."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in allowed]
    if wrong or not names:
        sys.exit(f"got --{what} {text!r}; allowed are {', '.join(allowed)}, separated by commas")
    return names


def plain(value: Any) -> Any:
    """Returns what JSON has no form for as a number or a text; for `json.dumps(default=)`."""
    return value.item() if isinstance(value, np.generic) else str(value)


def t_interval(values: Sequence[float]) -> list[float]:
    """Returns mean, low and high of a 95% t interval of the mean, in four digits.

    >>> t_interval([0.0, 0.1, 0.2])
    [0.1, -0.1484, 0.3484]
    """
    each = np.asarray(values, float)
    half = stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    mean = float(each.mean())
    return [round(float(x), 4) for x in (mean, mean - half, mean + half)]


def cores() -> list[int]:
    """Returns the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def on(where: Sequence[int]) -> list[str]:
    """Returns what a command begins with to run on these cores only."""
    return ["taskset", "-c", ",".join(map(str, where))]


def threads_environment(count: int) -> dict[str, str]:
    """Returns the environment in which the usual libraries start so many threads."""
    names = {name: "COUNT" if name.startswith("LOKY") else "NUM_THREADS" for name in _THREADS}
    names["VECLIB_MAXIMUM"] = "THREADS"
    return {**os.environ, **{f"{n}_{ending}": str(count) for n, ending in names.items()}}


def ended(
    command: Sequence[str | Path],
    most_seconds: float,
    *,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Runs a command to its end; returns its exit code and the last of what it said.

    Raises:
        subprocess.TimeoutExpired: It took longer than `most_seconds`.
    """
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment,
    ) as process:  # fmt: skip
        _running.add(process.pid)
        try:
            out, errors = process.communicate(timeout=most_seconds)
        finally:  # what it started must not run on beside what is next
            _kill(process.pid)
            _running.discard(process.pid)
        return process.returncode, (errors or out).strip()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def in_turns(
    jobs: Iterable[T], places: Sequence[list[int]], work: Callable[[T, list[int]], None]
) -> None:
    """Works off jobs in their order, one at a time in each place (some cores)."""
    waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    raised: list[BaseException] = []

    def loop(place: list[int]) -> None:
        try:
            while not raised:
                work(waiting.get_nowait(), place)
        except queue.Empty:
            return
        except BaseException as error:
            raised.append(error)

    if len(places) == 1:  # here, so that an interrupt reaches what runs
        loop(places[0])
    else:
        threads = [threading.Thread(target=loop, args=(place,), daemon=True) for place in places]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:  # an interrupt reaches this thread only
            raised.append(error)
            for group in list(_running):
                _kill(group)
            raise
    if raised:
        raise raised[0]


def outcome(folder: Path) -> Record:
    """Returns what a finished campaign came to, from its folder.

    `value`s are those of the kept models on the test rows; `better` compares them by the metric's
    direction.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    gain, confirmation = summary["gain"], summary["confirmation"]
    phases = summary["parts"]["time"]["phases"]
    sign = 1.0 if summary["direction"] == "maximize" else -1.0
    baseline, final = summary["baseline"]["value"], summary["final"]["value"]
    return {
        "metric": summary["metric"],
        "direction": summary["direction"],
        "proven": summary["proven"],
        "delivered": summary["delivered"],
        "likelihood": summary["likelihood"],
        "baseline": baseline,
        "final": final,
        "better": sign * (final - baseline) > 0.0,
        "gain": gain["value"],
        "gain_interval": gain["interval"],
        "gain_seeds": gain["n"],
        "p_value": None if confirmation is None else confirmation["p_value"],
        "effect": None if confirmation is None else confirmation["value"],
        "effect_interval": None if confirmation is None else confirmation["interval"],
        "pairs": summary["evidence"]["pairs"],
        "trainings": summary["trials"]["trained"],
        "trials": summary["trials"],
        "techniques": {t["name"]: t["verdict"] for t in summary["techniques"]},
        "seconds": round(summary["seconds"], 2),
        "phases": {phase["name"]: phase["seconds"] for phase in phases},
        "waiting": {phase["name"]: phase["waiting"] for phase in phases},
        "test_touches": summary["test_touches"],
        "statement": gain["statement"],
    }


def stop_on_sigterm() -> None:
    """Lets a SIGTERM end this process as an error does, so that what it started is ended, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
