"""A process that runs one model in one runtime, and times calls when it is told to.

Runtimes disturb each other in one process: threads that wait by spinning take the cores of whatever
computes next. So each family of runtimes has a process of its own (this file, run as a script), whose
threads sleep between calls, and who compares them asks one after the other.

Speaks JSON, a line each way: `{"open": name, ...}` makes an entrant ready and saves what it predicts,
`{"call": name, "times": n}` answers milliseconds of a call. It imports nothing of pawl: what a runtime
needs is all it has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[Mapping[str, Any]], Any]
OUTPUT = "prediction"


def onnxruntime_call(model: str, threads: int, level: str, mode: str) -> Call:
    """Returns what calls a session with these options."""
    import onnxruntime as ort  # noqa: PLC0415  (each process has one of the runtimes)

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}"
    )
    if mode == "parallel":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        options.inter_op_num_threads = threads
    options.log_severity_level = 4
    running = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [item.name for item in running.get_inputs()]
    return lambda rows: running.run([OUTPUT], {name: rows[name] for name in names})[0]


def openvino_call(model: str, threads: int) -> Call:
    """Returns what calls a model compiled by OpenVINO for the processor."""
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32"}  # fmt: skip
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    names = [item.get_any_name() for item in compiled.inputs]
    output = compiled.output(0)

    def call(rows: Mapping[str, Any]) -> Any:
        return compiled({name: rows[name] for name in names})[output]

    return call


def torch_call(model: str, threads: int, names: list[str], *, compiled: bool) -> Call:
    """Returns what calls an exported program, operation by operation or compiled."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)
    module: Any = torch.export.load(model).module()
    if compiled:
        module = torch.compile(module, dynamic=False)

    def call(rows: Mapping[str, Any]) -> Any:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(*(torch.from_numpy(rows[name]) for name in names)).numpy()

    return call


_MAKERS: dict[str, Callable[..., Call]] = {
    "onnxruntime": onnxruntime_call,
    "openvino": openvino_call,
    "torch": torch_call,
}


def main() -> None:
    """Answers lines until there are no more."""
    import numpy as np  # noqa: PLC0415

    family, place, answers = sys.argv[1], sys.argv[2], sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    with np.load(place, allow_pickle=False) as file:
        arrays = {name: np.ascontiguousarray(file[name]) for name in file.files}
    few = {n.removeprefix("call."): x for n, x in arrays.items() if n.startswith("call.")}
    one = {name: x[:1].copy() for name, x in few.items()}
    rows = {n.removeprefix("check."): x for n, x in arrays.items() if n.startswith("check.")}
    known: dict[str, Call] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if "open" in asked:
                call = _MAKERS[family](**asked["with"])
                started = time.perf_counter()
                call(few)
                answer["first_ms"] = 1e3 * (time.perf_counter() - started)
                said = [call(rows), call(one), call(few)]
                np.savez(asked["to"], rows=said[0], one=said[1], few=said[2])
                known[asked["open"]] = call
            else:
                call, times = known[asked["call"]], asked["times"]
                started = time.perf_counter()
                for _ in range(times):
                    call(few)
                answer["ms"] = 1e3 * (time.perf_counter() - started) / times
        except Exception as error:  # whatever a runtime cannot do is its result
            lines = [each.strip() for each in str(error).splitlines() if each.strip()]
            answer["error"] = f"{type(error).__name__}: {max(lines, key=len, default='')[:300]}"
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
