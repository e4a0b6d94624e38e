"""Ctrl-C and SIGTERM where a handler alone would not do: what it raises is swallowed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from terminal import start

STUBBORN = """
import pathlib, time
import numpy as np
from pawl import Task

def stubborn(targets, predictions):
    if not pathlib.Path(__file__).with_name("out").exists():  # it is tried before the campaign
        return 0.5
    pathlib.Path(__file__).with_name("here").touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

x = np.random.default_rng(0).normal(size=(120, 3)).astype("float32")
task = Task(data=(x, (x[:, 0] > 0).astype(int)), metric=stubborn, direction="maximize")
"""


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)],
    ids=["Ctrl-C twice", "SIGTERM once"],
)
def test_what_swallows_an_interrupt_is_left_behind(
    signals: tuple[signal.Signals, ...], tmp_path: Path
) -> None:
    module, out = tmp_path / "stubborn.py", tmp_path / "out"
    module.write_text(STUBBORN)
    soon = "import pawl.supervisor as s; s._GRACE_SECONDS = 1.0"
    process = start("optimize", module, "--trials", 2, "--out", out, first=soon)
    while process.poll() is None and not (tmp_path / "here").is_file():
        time.sleep(0.01)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)  # two of a kind that wait together arrive as one
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("pawl: interrupted; what was finished is kept")
    assert last.endswith(f"pawl optimize --resume {out}")
    assert stderr.count("interrupted") == 1
    assert "Traceback" not in stderr
