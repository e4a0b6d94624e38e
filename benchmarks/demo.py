"""The demo's campaign on machines as people have them: proven, and better on the test rows, how often.

    python benchmarks/demo.py --records runs/demo.jsonl > benchmarks/results/demo.json
    python benchmarks/demo.py --records runs/demo.jsonl --part a --seeds 0-4   # a part of it

`pawl optimize digits` with ten seeds each, from an empty cache, in these places:

- `a`: all cores that this process may use, 110 seconds as in `scripts/demo`.
- `b`: one core, half of that. With `--together` one on each core at a time.
- `c`: as `a`, beside a neighbor that keeps each core busy with a spinning thread.
- `d`: a process that is told of 64 cores by whatever it asks, affinity mask included, and that a cgroup
  allows the time of two: a container with a quota.
- `e`: the same told of 64 cores, but its affinity mask has the two: a shared server.

What is told is made by `many_cores.c`, preloaded. What of `d` could not be made here is on record.
Campaigns that ended are skipped; a run that was stopped goes on behind them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import running
from neighbor import neighbor
from placebo.tally import rate

SECONDS, TOLD_CORES, ALLOWED_CORES = 110.0, 64, 2
PLACES = {
    "a": "all cores, whole budget",
    "b": "one core, half of the budget",
    "c": "all cores beside a neighbor that spins on each, whole budget",
    "d": f"told of {TOLD_CORES} cores, a quota of {ALLOWED_CORES}, whole budget",
    "e": f"told of {TOLD_CORES} cores, an affinity of {ALLOWED_CORES}, whole budget",
}
WANTED = {"a": 0.9, "b": 0.9, "c": 0.7, "d": 0.7, "e": 0.7}
WANTED_BETTER = 0.9
_QUOTAS = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 100_000


@dataclass
class Place:
    """Where a campaign runs.

    Attributes:
        prefix: What its command begins with.
        environment: Its environment, beside that of this process.
        made: What was made for it, as the record states it.
    """

    prefix: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def quota(cores: int) -> Iterator[tuple[list[str], str]]:
    """Makes a cgroup with a quota; yields what a command in it begins with, and what was made."""
    v1 = (_QUOTAS / "cpu.cfs_quota_us").exists()
    parent = _QUOTAS if v1 else Path("/sys/fs/cgroup")
    group = parent / f"pawl-benchmark-{os.getpid()}"
    try:
        group.mkdir()
        if v1:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(cores * _PERIOD_US))
        else:
            (group / "cpu.max").write_text(f"{cores * _PERIOD_US} {_PERIOD_US}")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield [], f"none: {error.strerror} at {group}"
        return
    try:
        join = f'echo $$ > {group}/cgroup.procs && exec "$@"'
        yield ["sh", "-c", join, "sh"], f"{cores} cores, cgroup v{1 if v1 else 2}"
    finally:
        for _ in range(50):  # what was killed in it takes a moment to be gone
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def told_of(cores: int, scratch: Path, *, affinity: bool) -> dict[str, str]:
    """Returns the environment in which a process is told of so many cores."""
    library = scratch / "many_cores.so"
    source = Path(__file__).with_name("many_cores.c")
    compiler = ["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(compiler, check=True)
    one = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]

    def core(number: int) -> str:
        own = re.sub(
            r"^(processor|core id|(?:initial )?apicid)(\s*): .*$",
            rf"\1\2: {number}",
            one,
            flags=re.MULTILINE,
        )
        return re.sub(
            r"^(siblings|cpu cores)(\s*): .*$", rf"\1\2: {cores}", own, flags=re.MULTILINE
        )

    (scratch / "cpuinfo").write_text("".join(f"{core(i)}\n\n" for i in range(cores)))
    for name in ("online", "possible", "present"):
        (scratch / name).write_text(f"0-{cores - 1}\n")
    told = {
        "LD_PRELOAD": str(library), "PAWL_SEEN_CORES": str(cores), "PAWL_SEEN_FILES": str(scratch),
    }  # fmt: skip
    return {**told, "PAWL_SEEN_AFFINITY": "1"} if affinity else told


@contextlib.contextmanager
def place(part: str, cores: list[int], scratch: Path) -> Iterator[Place]:
    """Makes the place of a part.

    Args:
        part: Its letter.
        cores: That a campaign may use.
        scratch: A folder to make things in.
    """
    made: dict[str, Any] = {"cores": cores}
    if part == "b":
        yield Place(running.on(cores[:1]), made={"cores": cores[:1]})
    elif part == "c":
        with neighbor():
            yield Place(made={**made, "neighbor": f"{len(running.cores())} spinning threads"})
    elif part in "de":
        environment = told_of(TOLD_CORES, scratch, affinity=part == "d")
        ask = (
            "import os, torch; "
            "print(os.cpu_count(), len(os.sched_getaffinity(0)), torch.get_num_threads())"
        )
        told = subprocess.run(
            [sys.executable, "-c", ask], env={**os.environ, **environment},
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        made["told"] = dict(
            zip(("cores", "affinity", "torch_threads"), map(int, told), strict=True)
        )
        if part == "e":
            allowed = cores[:ALLOWED_CORES]
            yield Place(running.on(allowed), environment, {**made, "cores": allowed})
            return
        with quota(ALLOWED_CORES) as (prefix, which):
            yield Place(prefix, environment, {**made, "quota": which})
    else:
        yield Place(made=made)


def campaign(part: str, seed: int, seconds: float, source: str, cores: list[int]) -> dict[str, Any]:
    """Runs one campaign in the place of a part; returns what it came to."""
    budget = seconds / 2 if part == "b" else seconds
    busy = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        scratch = Path(folder)
        with place(part, cores, scratch) as where:
            environment = {
                **os.environ, **where.environment, "PAWL_CACHE": str(scratch / "cache"),
                "TORCHINDUCTOR_CACHE_DIR": str(scratch / "code"),
            }  # fmt: skip
            out = scratch / "out"
            command = [
                *where.prefix, sys.executable, "-m", "pawl.cli", "optimize", source,
                "--budget", f"{budget:g}s", "--seed", str(seed), "--out", str(out),
            ]  # fmt: skip
            started = time.monotonic()
            try:
                code, said = running.ended(command, 3 * budget + 60, environment=environment)
            except subprocess.TimeoutExpired:
                code, said = -1, "did not end in time"
            wall = round(time.monotonic() - started, 1)
        found = {"budget": budget, "wall": wall, "load_before": busy, "made": where.made}
        if code:
            last = said.splitlines()[-1][:300] if said else ""
            return {**found, "exit_code": code, "error": last, "proven": False, "better": False}
        return {**found, "exit_code": 0, **running.outcome(out)}


def tally(records: list[dict[str, Any]], part: str) -> dict[str, Any]:
    """Returns what the campaigns of a part came to, with exact 95% intervals."""
    ended = [record for record in records if not record["exit_code"]]
    gains = [record["final"] - record["baseline"] for record in ended]
    found: dict[str, Any] = {
        "place": PLACES[part],
        "made": records[-1]["made"],
        "proven": rate(record["proven"] for record in records),
        "wanted_proven": WANTED[part],
        "delivered_better_on_test_rows": rate(record["better"] for record in records),
        "wanted_better": WANTED_BETTER,
        "delivered": {
            name: sum(record["delivered"] == name for record in ended)
            for name in sorted({record["delivered"] for record in ended})
        },
        "failed": [record["error"] for record in records if record["exit_code"]],
    }
    for name, values in (
        ("final_minus_baseline", gains),
        *((n, [r[n] for r in ended]) for n in ("trainings", "pairs", "wall")),
    ):
        if values:
            found[name] = {
                "median": round(statistics.median(values), 5),
                "least": round(min(values), 5),
                "most": round(max(values), 5),
            }
    phases = {name for record in ended for name in record["phases"]}
    found["median_seconds_by_phase"] = {
        name: round(statistics.median([r["phases"].get(name, 0.0) for r in ended]), 2)
        for name in sorted(phases)
    }
    return found


def main() -> None:
    """Runs what is missing, then prints all that is known as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--part", choices=PLACES, nargs="+", default=list(PLACES))
    parser.add_argument("--seeds", type=running.numbers, default=list(range(10)), help="0-9")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the whole budget")
    parser.add_argument("--source", default="digits")
    parser.add_argument("--together", action="store_true", help="part b on every core at a time")
    parser.add_argument("--tally", action="store_true", help="run nothing")
    given = parser.parse_args()
    running.stop_on_sigterm()
    everything = running.cores()

    def work(job: tuple[str, int], cores: list[int]) -> None:
        part, seed = job
        record = running.computed(
            given.records,
            (given.source, given.seconds, part, seed),
            partial(campaign, part, seed, given.seconds, given.source, cores),
        )
        told = record.get("statement", record.get("error"))
        print(f"{part} {seed}: {record['wall']} s, {told}", file=sys.stderr)

    for part in () if given.tally else given.part:
        places = [[core] for core in everything] if part == "b" else [everything]
        if part == "b" and not given.together:
            places = places[:1]
        running.in_turns([(part, seed) for seed in given.seeds], places, work)
    from pawl.environment import hardware, versions

    records: dict[str, list[dict[str, Any]]] = {}
    for record in running.read(given.records):
        source, seconds, part, seed = record.pop("key")
        if (source, seconds) == (given.source, given.seconds):
            records.setdefault(part, []).append({"seed": seed, **record})
    result = {
        "what": f"pawl optimize {given.source}, seeds from 0, each from an empty cache",
        "budget_seconds": given.seconds,
        "parts": {part: tally(records[part], part) for part in sorted(records)},
        "campaigns": {
            part: sorted(records[part], key=lambda record: record["seed"]) for part in sorted(records)
        },
        "hardware": hardware(),
        "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
