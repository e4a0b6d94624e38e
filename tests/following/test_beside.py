"""A page beside a campaign: there before the campaign is, gone after, and no matter if it dies."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from served import ledger
from terminal import pawl

from pawl.following import followed, page_beside
from pawl.following.page import Page
from pawl.options import Call


def ask(page: Page, path: str, cookie: str = "") -> tuple[int, str, dict[str, str]]:
    """Asks as a browser would, waiting for the process to come up."""
    where = urlsplit(page.address)
    connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=300)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read().decode(), headers


def test_the_page_waits_for_its_campaign_and_ends_with_the_block(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    with page_beside(folder) as page:
        status, _, headers = ask(page, page.address.partition(f":{urlsplit(page.address).port}")[2])
        assert status == 303
        cookie = headers["set-cookie"].partition(";")[0]
        status, text, _ = ask(page, "/", cookie)
        assert (status, "No campaign has begun yet" in text) == (200, True)
        assert ask(page, "/")[0] == 401
        ledger(folder, 4).close()
        status, _, headers = ask(page, "/", cookie)
        assert status == 303
        assert "Interrupted" in ask(page, headers["location"], cookie)[1]
        token = page.address.partition("token=")[2]
        arguments = Path(f"/proc/{page.process.pid}/cmdline").read_text(encoding="utf-8")
        assert token not in arguments
    assert page.process.poll() is not None
    with pytest.raises(ConnectionRefusedError):
        ask(page, "/")


def test_its_death_and_that_of_its_block_touch_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with page_beside(tmp_path / "one") as page:
        os.kill(page.process.pid, signal.SIGKILL)
        page.process.wait()
    with pytest.raises(ZeroDivisionError), page_beside(tmp_path / "two") as page:
        raise ZeroDivisionError
    assert page.process.poll() is not None
    with followed(tmp_path / "three", Call(serve=True)):
        pass
    assert capsys.readouterr().err.startswith("serve: http://127.0.0.1:")
    # Nothing that was started here is left.
    deadline = time.monotonic() + 60
    while any(_children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_children())


def _children() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8")
            if "pawl.following.serving_page" in text and str(os.getpid()) in text.split("\0"):
                found.append(text)
    return found


def test_a_command_says_where_its_page_is_and_ends_without_a_terminal(tmp_path: Path) -> None:
    module = tmp_path / "experiment.py"
    module.write_text(
        "import pawl\n"
        "def run(settings, seed):\n    return -(settings['x'] - 2.0) ** 2 + 0.01 * (seed % 7)\n"
        "task = pawl.FunctionTask(train=run, settings={'x': (0.0, 5.0)}, baseline={'x': 0.5})\n"
    )
    ended = pawl("tune", module, "--trials", 5, "--out", tmp_path / "out", "--serve")
    assert ended.returncode == 0, ended.stderr
    assert "serving http://127.0.0.1:" in ended.stderr
    assert "token=" not in ended.stdout
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert b"token=" not in path.read_bytes()
