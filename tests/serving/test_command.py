"""`pawl serve --predict` as a command: begins, ends, and says what is missing."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from bundles import bundle_of
from problems import frame
from terminal import run_here, start

from pawl.task import Task


def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    folder = bundle_of(Task(data=frame()), tmp_path / "campaign", epochs=1)
    with start("serve", "--predict", folder, "--port", 0, real=True) as process:
        assert process.stdout is not None
        found = re.fullmatch(
            r"predictions of .*bundle at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n",
            process.stdout.readline(),
        )
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}health", timeout=60) as answer:
            assert json.load(answer)["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "", "")


def test_what_is_missing_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, words in (
        ((tmp_path, "--max-rows", 5), "give --predict as well"),
        (("--predict", tmp_path), "is not a bundle"),
        (("--predict", tmp_path, "--max-wait", "soon"), "--max-wait soon"),
        (("--predict", tmp_path, "--timeout", "0s"), "--timeout 0s"),
    ):
        code, out, error = run_here(capfd, "serve", *arguments)
        assert (code, out) == (2, "")
        assert error.count("\n") == 1
        assert words in error
    monkeypatch.setitem(sys.modules, "pawl.serving.predicting", None)
    code, _, error = run_here(capfd, "serve", "--predict", tmp_path)
    assert code == 2
    assert "pip install 'pawl[serve]'" in error
