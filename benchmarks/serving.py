"""Requests per second and tail latency of `pawl serve --predict`, beside a FastAPI and PyTorch handler.

    python benchmarks/serving.py runs/adult adult-test.csv > benchmarks/results/serving.json

Servers run in processes of their own (`serving_rival.py` has the other one, once with `def` and once
with `async def`), on the same uvicorn with uvloop and httptools. The load generator is a third process:
so many connections, kept alive, each sends its next request when it has its answer. Servers take turns,
in another order each round; a round is some seconds at each number of connections. Each request is one
row. `cpu_ms` is what the server's process takes of a processor for a request, which hardly depends on
what else runs on the machine.

Then pawl's server alone gets 1,000 requests that are malformed, oversized, slow or aborted, of which
each must be answered as it should, and good ones between them; four times, and its memory is read after
each: the first time has what is made once.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop

HERE = Path(__file__).resolve().parent
PORT = 18_650
CONNECTIONS = (1, 8, 64)
ROUNDS, SECONDS, WARM = 5, 4.0, 1.0
BAD, ATTACKS = 1000, 4
RIVALS = ("sync", "async")
ROWS = 2000


def commands(bundle: str) -> dict[str, list[str]]:
    """Returns the command of each server; the port comes behind."""
    rival = [sys.executable, str(HERE / "serving_rival.py"), bundle]
    return {
        "pawl": [sys.executable, "-m", "pawl.cli", "serve", "--predict", bundle, "--port"],
        **{f"fastapi {how}": [*rival, "{port}", how] for how in RIVALS},
    }


def payloads(path: Path) -> list[bytes]:
    """Returns requests: a row of a table each, or an image of a folder each."""
    if path.is_dir():
        return [_request(each.read_bytes(), "image/png") for each in sorted(path.rglob("*.png"))]
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in itertools.islice(csv.DictReader(file), ROWS):
            cells = {name: _cell(text) for name, text in row.items()}
            found.append(_request(json.dumps({"rows": [cells]}).encode(), "application/json"))
    return found


def _cell(text: str) -> Any:
    if text in ("", "?"):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _request(body: bytes, kind: str, path: str = "/predict") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{{port}}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Returns status and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def cpu(pid: int) -> float:
    """Returns the processor's seconds of a process and of its children that work."""
    ticks = 0
    for each in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def load(
    port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> list[float]:
    """Returns the seconds of each request; each connection sends one or more, until the time is over."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in itertools.cycle(requests[number::connections]):
            began = time.perf_counter()
            writer.write(request)
            status, body = await answered(reader)
            assert status == 200, body
            took.append(time.perf_counter() - began)
            if time.perf_counter() >= end:
                break
        writer.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    return took


def generator(
    port: int, requests: list[bytes], connections: int, seconds: float, pid: int
) -> dict[str, float]:
    """Runs the load in this process; returns rate, quantiles, and what a request takes of a processor.

    The last one does not depend on what else runs on the machine.
    """
    sent = [each.replace(b"{port}", str(port).encode(), 1) for each in requests]
    uvloop.run(load(port, sent, connections, WARM))
    started, before = time.perf_counter(), cpu(pid)
    took = sorted(uvloop.run(load(port, sent, connections, seconds)))
    spent, used = time.perf_counter() - started, cpu(pid) - before
    quantile = {q: 1e3 * took[min(len(took) - 1, int(q / 100 * len(took)))] for q in (50, 95, 99)}
    return {
        "per_second": len(took) / spent,
        **{f"p{q}_ms": value for q, value in quantile.items()},
        "cpu_ms": 1e3 * used / len(took),
    }


@contextmanager
def served(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Has a server between begin and end."""
    filled = [each.replace("{port}", str(port)) for each in command]
    if filled == command:
        filled.append(str(port))
    with subprocess.Popen(filled, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError(f"{filled} ended")
                try:
                    asyncio.run(asyncio.open_connection("127.0.0.1", port))  # type: ignore[arg-type]
                    break
                except OSError:
                    time.sleep(0.2)
            yield process
        finally:
            process.terminate()
            process.wait(30)


def measured(bundle: str, requests: list[bytes], rounds: int, seconds: float) -> dict[str, Any]:
    """Returns what each server does at each number of connections, in turns."""
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    with ExitStack() as stack:
        ports, pids = {}, {}
        for place, (name, command) in enumerate(commands(bundle).items()):
            ports[name] = PORT + place
            pids[name] = stack.enter_context(served(command, ports[name])).pid
            found[name] = {connections: [] for connections in CONNECTIONS}
        names = list(ports)
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for place in range(len(names)):
                    name = names[(place + turn) % len(names)]
                    got = generator(ports[name], requests, connections, seconds, pids[name])
                    found[name][connections].append(got)
                    print(turn, connections, name, got, file=sys.stderr, flush=True)
    result: dict[str, Any] = {}
    for connections in CONNECTIONS:
        mine = [each["per_second"] for each in found["pawl"][connections]]
        best = max(
            (name for name in found if name != "pawl"),
            key=lambda n: statistics.median(e["per_second"] for e in found[n][connections]),
        )
        theirs = [each["per_second"] for each in found[best][connections]]
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        result[str(connections)] = {
            **{name: _summary(found[name][connections]) for name in found},
            "faster_than": best,
            "times": statistics.median(ratios),
            "times_range": [min(ratios), max(ratios)],
            "times_cpu": _cpu(found[best][connections]) / _cpu(found["pawl"][connections]),
        }
    return result


def _cpu(rounds: list[dict[str, float]]) -> float:
    return statistics.median(each["cpu_ms"] for each in rounds)


def _summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Returns the median of rounds, and their range."""
    return {
        key: {
            "median": statistics.median(values),
            "range": [min(values), max(values)],
        }
        for key in rounds[0]
        for values in [[each[key] for each in rounds]]
    }


# What is wrong with a request, and which answers are right; none where it is aborted.
def malformed(good: bytes, draw: random.Random) -> tuple[bytes, set[int]]:
    """Returns a request that is wrong."""
    body = good.split(b"\r\n\r\n", 1)[1]
    kind = good.split(b"Content-Type: ")[1].split(b"\r\n")[0].decode()
    cut = body[: draw.randrange(1, max(2, len(body)))]
    noise = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 2000)))
    choices: list[tuple[bytes, set[int]]] = [
        (_request(cut[:-1] if len(cut) > 1 else b"{", kind), {400, 422}),
        (_request(noise, kind), {400, 422}),
        (_request(body, "text/html"), {415}),
        (_request(b"", kind), {400}),
        (_request(b"[" * 100_000, "application/json"), {400, 415}),
        (_request(b'{"rows": [' + b"{}," * 20_000 + b"{}]}", "application/json"), {413, 415}),
        (_request(b'{"rows": "none"}', "application/json"), {415, 422}),
        (_request(noise, "multipart/form-data; boundary=x"), {400, 415}),
        (noise.replace(b"\r\n", b"") + b"\r\n\r\n", {400}),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", {404}),
        (b"GET /predict HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", {405}),
        (b"GET /schema HTTP/1.1\r\nHost: elsewhere\r\n\r\n", {421}),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", {431}),
    ]
    return draw.choice(choices)


async def bad(port: int, good: bytes, number: int, draw: random.Random) -> tuple[str, str]:
    """Sends one bad request; returns what it was and what came of it."""
    what = ("malformed", "malformed", "oversized", "slow", "aborted")[number % 5]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    filled = good.replace(b"{port}", str(port).encode(), 1)
    try:
        if what == "malformed":
            request, allowed = malformed(good, draw)
            writer.write(request.replace(b"{port}", str(port).encode(), 1))
        elif what == "oversized":
            size = draw.choice((1_100_000, 3_000_000, 5_000_000))
            writer.write(_request(b" " * size, "application/json").replace(
                b"{port}", str(port).encode(), 1))  # fmt: skip
            allowed = {413}
        elif what == "slow":
            half = draw.randrange(1, len(filled))
            writer.write(filled[:half])
            allowed = {408}
        else:
            writer.write(filled[: draw.randrange(1, len(filled) + 1)])
            await asyncio.sleep(draw.random() * 0.01)
            writer.transport.abort()
            return what, "aborted"
        try:
            status, body = await asyncio.wait_for(answered(reader), 60)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The system may drop an answer to a client that still sends.
            return what, "connection ended"
        told = "error" in json.loads(body) and "\n" not in json.loads(body)["error"]["message"]
        return (
            what,
            "as it should" if status in allowed and told else f"WRONG {status} {body[:200]!r}",
        )
    finally:
        writer.transport.abort()


async def attack(port: int, good: bytes, count: int) -> Counter[tuple[str, str]]:
    """Sends bad requests, 50 at once, and a good one after each hundred."""
    found: Counter[tuple[str, str]] = Counter()
    gate = asyncio.Semaphore(50)
    draw = random.Random(0)

    async def one(number: int) -> None:
        async with gate:
            found[await bad(port, good, number, draw)] += 1
        if number % 100 == 99:
            found[
                "good",
                f"{len(await load(port, [good.replace(b'{port}', str(port).encode(), 1)], 1, 0.2)) > 0}",
            ] += 1

    await asyncio.gather(*(one(number) for number in range(count)))
    return found


def attacked(bundle: str, requests: list[bytes]) -> dict[str, Any]:
    """Returns what came of bad requests, and the server's memory before and after."""
    command = commands(bundle)["pawl"]
    limits = ["--max-body", "1MB", "--timeout", "2s", "--port"]
    memory, found = [], Counter[tuple[str, str]]()
    with served([*command[:-1], *limits], PORT) as process:
        child = _child(process.pid)
        for _ in range(ATTACKS):
            found += asyncio.run(attack(PORT, requests[0], BAD))
            time.sleep(3)
            memory.append(_memory(child) / 1e6)
        files = len(list(Path(f"/proc/{child}/fd").iterdir()))
    return {
        "requests": ATTACKS * BAD,
        "answers": {f"{what}: {how}": n for (what, how), n in sorted(found.items())},
        f"memory_mb_after_each_{BAD}": memory,
        "open_files_after": files,
    }


def _child(pid: int) -> int:
    """Returns the process that works: the command's first one only watches over it."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path, help="a CSV file, or a folder of PNG images")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--only", choices=("load", "bad"))
    given = parser.parse_args()
    import fastapi
    import onnxruntime
    import starlette
    import torch
    import uvicorn

    requests = payloads(given.data)
    result: dict[str, Any] = {
        "hardware": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "versions": {
            m.__name__: m.__version__ for m in (fastapi, onnxruntime, starlette, torch, uvicorn)
        },
        "load_average_before": os.getloadavg(),
        "rounds": given.rounds,
        "seconds": given.seconds,
        "data": given.data.name,
    }
    if given.only != "bad":
        result["connections"] = measured(given.bundle, requests, given.rounds, given.seconds)
    if given.only != "load":
        result["bad"] = attacked(given.bundle, requests)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
