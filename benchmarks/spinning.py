"""What waiting threads that spin cost, alone and beside another process (docs/decisions/0004).

    python benchmarks/spinning.py > benchmarks/results/spinning.json

Each measurement is a fresh process that trains a small convolutional network step by step, with
libgomp's default spinning or pawl's, alone or beside a process that does the same. Settings take turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

ROUNDS = 3
SETTINGS = {"default": None, "pawl": "20000"}
PROGRAM = """
import sys, time, torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
                    nn.Flatten(), nn.Linear(32 * 15 * 15, 10))
x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
optimizer = torch.optim.AdamW(net.parameters())
def step():
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
step()
count, started = 0, time.perf_counter()
while time.perf_counter() - started < float(sys.argv[1]):
    step()
    count += 1
print(1e3 * (time.perf_counter() - started) / max(1, count))
"""


def environment(spins: str | None) -> dict[str, str]:
    """Returns the environment with a spin count, or with libgomp's default."""
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return clean if spins is None else {**clean, "GOMP_SPINCOUNT": spins}


@contextmanager
def neighbor(spins: str | None, *, wanted: bool) -> Iterator[None]:
    """Runs the same program beside, if wanted."""
    if not wanted:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "30"], env=environment(spins), stdout=subprocess.DEVNULL
    ) as other:
        time.sleep(4)
        try:
            yield
        finally:
            other.kill()


def milliseconds(spins: str | None) -> float:
    """Returns the milliseconds of a step in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "4"],
        env=environment(spins),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    """Measures all settings in turn and prints JSON."""
    from pawl.environment import hardware, versions

    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for place in ("alone", "beside another"):
            for name, spins in SETTINGS.items():
                with neighbor(spins, wanted=place != "alone"):
                    times.setdefault(f"{name}, {place}", []).append(milliseconds(spins))
    result = {
        "what": "milliseconds per training step of a small convolutional network, batch 128",
        "n": ROUNDS,
        "milliseconds": {
            key: {
                "median": round(statistics.median(values), 2),
                "min": round(min(values), 2),
                "max": round(max(values), 2),
            }
            for key, values in times.items()
        },
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
