"""Whether a bundle made for a limit on latency keeps it, in processes of its own.

    python benchmarks/limits.py --records runs/limits.jsonl > benchmarks/results/limits.json
    python benchmarks/limits.py --records runs/limits.jsonl --cases digits --processes 2   # a part of it

Per case a network is trained as a recipe is, its bundle is measured, and `pawl compress` gets a limit of
a share of that (`SHARES`); a limit that cannot be kept counts as such. Then each of 20 fresh processes
opens the bundle and calls it: `--batch` rows (1,024, so that a call takes as long as those that limits
are given for), one thread, 10 calls to warm up, then `CALLS` calls, each timed alone. A process keeps
the limit if the 95th percentile of its calls is within it. What others do on the machine is in these
times, so `load` says how many processes wanted a core (1 at its end is this one).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import running

CASES = ("digits", "adult")
SHARES = (0.9, 0.6)
WARM, CALLS, ALLOWED = 10, 400, "5%"


def measured(folder: str, rows: str) -> None:
    """Prints the 95th percentile and the median of a bundle's calls in this process, in milliseconds.

    Nothing of pawl is imported but the file that runs a runtime in a process of its own.
    """
    place = importlib.util.find_spec("pawl")
    assert place is not None
    assert place.origin is not None
    call_of = runpy.run_path(str(Path(place.origin).parent / "deployment" / "runners.py"))
    call = call_of["onnxruntime_call"](f"{folder}/model.onnx", 1, "all", "sequential")
    with np.load(rows, allow_pickle=False) as held:
        feed = {name: held[name] for name in held.files}
    times = []
    for at in range(WARM + CALLS):
        began = time.perf_counter()
        call(feed)
        if at >= WARM:
            times.append(1e3 * (time.perf_counter() - began))
    low, high = np.quantile(times, [0.5, 0.95])
    print(json.dumps({"median": low, "p95": high}))


def fresh(folder: Path, rows: Path) -> dict[str, float]:
    """Returns what a fresh process measures."""
    found = subprocess.run(
        [sys.executable, __file__, "--measure", folder, rows],
        check=True, capture_output=True, text=True, env=running.threads_environment(1),
    )  # fmt: skip
    return dict(json.loads(found.stdout))


def data_of(name: str) -> tuple[Any, dict[str, Any]]:
    """Returns rows to train and compress with, and how they are read."""
    if name == "adult":
        return running.FILES / "adult-train.csv", {"target": "income", "metric": "accuracy"}
    return name, {"metric": "accuracy"}


def trained(name: str, seed: int, out: Path) -> None:
    """Leaves a network of a case, trained as its recipe is."""
    import pawl
    from pawl.data import load, resolve_task
    from pawl.search import baseline
    from pawl.training.problem import Problem

    data, options = data_of(name)
    task = resolve_task(data, **options)
    recipe = baseline(Problem.of(task, load(task, seed=seed)).facts())
    pawl.train(data, recipe, out=out, seed=seed, **options)


def made(
    name: str, share: float, seed: int, given: argparse.Namespace, original: Path, scratch: Path
) -> dict[str, Any]:
    """Compresses for a limit, and measures in fresh processes."""
    import torch

    import pawl
    from pawl.data import load, resolve_task
    from pawl.deployment import latencies
    from pawl.environment import cpu_features, hardware, versions
    from pawl.errors import LimitError

    began = time.monotonic()
    data, options = data_of(name)
    loaded = load(resolve_task(data, **options), seed=seed)
    if not original.is_dir():
        trained(name, seed, original)
    bundle = pawl.Bundle.open(original)
    graph = (bundle.folder / "model.onnx").read_bytes()
    rows, batch = scratch / "rows.npz", given.batch
    own = latencies({"": graph}, loaded.test, batch=batch)[""]
    limit = share * own.p95
    missed = ""
    try:
        found = pawl.compress(
            bundle, data, max_loss=ALLOWED, seed=seed, out=scratch / "small", metric="accuracy",
            max_latency=f"{1e3 * limit:.4g}us", batch=batch,
        )  # fmt: skip
        steps = [f"{step.step}: {step.detail}" for step in found.kept]
    except LimitError as error:
        missed, steps = str(error).replace(str(scratch), "."), []
    called = loaded.test.take(torch.arange(batch) % len(loaded.test))
    np.savez(rows, **{key: value.numpy() for key, value in called.inputs.items()})
    each = [fresh(scratch / "small" / "bundle", rows) for _ in range(given.processes)]
    return {
        "case": name, "share": share, "seed": seed, "batch": batch, "limit_ms": limit,
        "original_p95": own.p95, "original_median": own.median, "missed": missed, "steps": steps,
        "processes": each,
        "kept": sum(one["p95"] <= limit for one in each), "of": len(each), "calls": CALLS,
        "seconds": round(time.monotonic() - began, 1), "load": os.getloadavg()[0],
        "hardware": hardware(), "cpu_features": list(cpu_features()), "versions": versions(),
    }  # fmt: skip


def main() -> None:
    """Runs cases that are not on record, and prints all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=None)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1024, help="rows of a call")
    parser.add_argument("--seeds", type=running.numbers, default=[0])
    parser.add_argument("--measure", nargs=2, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measured(*given.measure)
        return
    running.stop_on_sigterm()
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for name, seed, share in itertools.product(given.cases.split(","), given.seeds, SHARES):

            def work(name: str = name, share: float = share, seed: int = seed) -> dict[str, Any]:
                print(f"{name}, {share:g} of the latency, seed {seed}", file=sys.stderr)
                original, scratch = Path(folder, f"{name}-{seed}"), Path(folder, "scratch")
                with contextlib.ExitStack() as stack:
                    scratch.mkdir()
                    stack.callback(shutil.rmtree, scratch)
                    return made(name, share, seed, given, original, scratch)

            key = (name, share, seed, given.processes, given.batch)
            records.append(running.computed(given.records, key, work))
    print(json.dumps(records, indent=1, default=running.plain))


if __name__ == "__main__":
    main()
