"""What memory predicting with a graph takes: a fresh process is asked how much it had at most.

The process holds Python, NumPy, ONNX Runtime and one session with one thread; its peak of resident
memory (`VmHWM` of Linux, else what `getrusage` says) is taken after a few calls. What it has before
the graph is loaded no graph goes below.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pawl.data.types import Examples
from pawl.errors import BundleError
from pawl.models import OUTPUT

_SCRIPT = """
import json, sys
import numpy as np
import onnxruntime

def peak():
    try:
        with open("/proc/self/status") as status:
            return 1024 * int(next(x for x in status if x.startswith("VmHWM")).split()[1])
    except OSError:
        import resource
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most

before = peak()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
running = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
with np.load(sys.argv[2], allow_pickle=False) as arrays:
    feed = {each.name: arrays[each.name] for each in running.get_inputs()}
for _ in range(3):
    running.run([sys.argv[3]], feed)
print(json.dumps([before, peak()]))
"""
_SECONDS = 300


@dataclass(frozen=True)
class Memory:
    """Peaks of resident memory in bytes: of the bare process, and with the graph."""

    bare: int
    peak: int


def memory(graph: bytes, rows: Examples, *, batch: int = 1) -> Memory:
    """Measures what memory a process that predicts with a graph takes.

    Args:
        graph: The ONNX graph.
        rows: Raw rows; the first are used, repeated where there are fewer than `batch`.
        batch: Rows of a call.

    Raises:
        BundleError: The process failed.
    """
    chosen = rows.take(torch.arange(batch) % len(rows))
    arrays = {name: tensor.numpy() for name, tensor in chosen.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        path, given = Path(folder) / "model.onnx", Path(folder) / "rows.npz"
        path.write_bytes(graph)
        np.savez(given, **arrays)  # type: ignore[arg-type]  # names, not its own options
        command = [sys.executable, "-I", "-c", _SCRIPT, str(path), str(given), OUTPUT]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=True
            )
            bare, peak = json.loads(ended.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise BundleError(
                f"the memory that a model takes cannot be measured ({error})"
            ) from None
    return Memory(int(bare), int(peak))
