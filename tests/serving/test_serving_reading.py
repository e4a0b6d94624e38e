"""A ledger, read while it is written, when it is large, when it is broken."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from served import ledger, said, served, trial
from terminal import run_here, start

from pawl.errors import LedgerError
from pawl.ledger import Ledger, ask_to_stop, read_progress, started_of
from pawl.serving.charting import MOST_DOTS
from pawl.serving.drawing import Axis, Line, lines, thinned
from pawl.serving.finding import Campaigns
from pawl.serving.reading import Campaign
from pawl.serving.telling import Order, described, flat, setting_name, shared


def test_only_what_is_new_is_read_and_changes_are_counted(tmp_path: Path) -> None:
    with ledger(tmp_path / "a", 20) as made:
        campaign = Campaign(tmp_path / "a", "a", "a")
        known, first = campaign.look()
        assert (len(known.trials), known.state, known.elapsed > 0) == (20, "interrupted", True)
        assert campaign.look() == (known, first)
        made.record("more", "race", {}, [trial(30, phase="race", holdout=0.5)], 2.0)
        after, second = campaign.look()
        assert second > first
        assert after.trials[:20] == known.trials
        assert all(one is other for one, other in zip(after.trials, known.trials, strict=False))
        assert (after.trials[-1].holdout, after.phases["race"]) == (0.5, 2.0)
        said(tmp_path / "a")
        assert campaign.look()[0].state == "running"
        ask_to_stop(tmp_path / "a")
        assert campaign.look()[0].state == "stopping"
    known, _ = campaign.look()  # closing says that nobody works on it any more
    assert (known.state, known.progress and known.progress.pid) == ("interrupted", 0)


def test_curves_are_as_they_were_written(tmp_path: Path) -> None:
    with ledger(tmp_path / "a", 3, points=7) as made:
        written = {number: each.curve for number, each in enumerate(made.trials(), start=1)}
        campaign = Campaign(tmp_path / "a", "a", "a")
        found = campaign.curves([1, 3, 99])
    assert {id: [list(point) for point in curve] for id, curve in found.items()} == {
        1: written[1], 3: written[3],
    }  # fmt: skip


def test_a_process_that_has_ended_is_known_from_a_later_one(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 1).close()
    said(tmp_path / "a", started=started_of(os.getpid()) - 1)  # its number was given away again
    known, _ = Campaign(tmp_path / "a", "a", "a").look()
    assert known.state == "interrupted"
    (tmp_path / "a" / ".progress.json").write_text("{half a fi")
    assert read_progress(tmp_path / "a") is None
    assert Campaign(tmp_path / "a", "a", "a").look()[0].state == "interrupted"


def test_writer_and_readers_do_not_hinder_each_other(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    with ledger(tmp_path / "a", 20) as made, served(tmp_path) as running:
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    answer = running.ask(running.first)
                    assert answer.status == 200
                    assert "cannot be read" not in answer.text
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(100):
            made.record(f"new/{number}", "search", {}, [trial(100 + number)], 0.1)
        done.set()
        for reader in readers:
            reader.join()
        assert not failures
        assert len(running.campaigns.all()[0].look()[0].trials) == 120
        assert made.digest()


def test_nothing_in_the_folder_is_written(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 5).close()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    with served(tmp_path) as running:
        for path in (running.first, f"{running.first}/trials", f"{running.first}/trial/1", "/"):
            assert running.ask(path).status == 200
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    added = {name for name in after if name not in before}
    assert added <= {"ledger.sqlite-shm", "ledger.sqlite-wal"}  # SQLite's own, of any reader
    assert {name: after[name] for name in before} == before
    Ledger.open(tmp_path / "a").close()


def test_a_finished_campaign_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 5).close()
    path = tmp_path / "a" / "ledger.sqlite"
    path.chmod(0o444)
    (tmp_path / "a").chmod(0o555)
    try:
        assert len(Campaign(tmp_path / "a", "a", "a").look()[0].trials) == 5
    finally:
        (tmp_path / "a").chmod(0o755)


@pytest.mark.parametrize("how", ["version", "not a database", "record", "identity", "empty"])
def test_a_ledger_that_cannot_be_read_is_told_in_a_line(tmp_path: Path, how: str) -> None:
    ledger(tmp_path / "a", 3).close()
    path = tmp_path / "a" / "ledger.sqlite"
    if how in ("not a database", "empty"):
        path.write_bytes(b"not a database at all" * 100 if how == "not a database" else b"")
    else:
        change = {
            "version": "PRAGMA user_version = 99",
            "record": "UPDATE trials SET record = '{\"recipe\": 3}' WHERE id = 2",
            "identity": "UPDATE campaign SET value = '[1]'",
        }[how]
        with sqlite3.connect(path) as db:
            db.execute(change)
        db.close()
    with served(tmp_path) as running:
        answer = running.ask(running.first)
        assert answer.status == 200
        assert "Cannot be read" in answer.text
        assert ("another version" in answer.text) == (how == "version")
        assert running.ask("/").status == 200


@pytest.mark.parametrize(
    "summary", ["{", "[]", "{}", '{"what": "function", "changes": [1]}', '{"task": 3}']
)
def test_a_summary_of_another_shape_is_left_out(tmp_path: Path, summary: str) -> None:
    ledger(tmp_path / "a", 3).close()
    (tmp_path / "a" / "summary.json").write_text(summary)
    with served(tmp_path) as running:
        assert running.ask(running.first).status == 200
        assert running.ask("/").status == 200


def test_a_large_search_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 3000, points=3).close()
    with served(tmp_path) as running:
        page = running.ask(running.first).text
        drawn = page.count("<circle") // 2  # for a desktop and for a phone
        assert 0.7 * MOST_DOTS < drawn < 1.1 * MOST_DOTS
        assert "the best are drawn" in page.lower()
        assert running.ask(f"{running.first}/trials?page=60").text.count("<tr data-trial") == 50


def test_campaigns_are_found_by_ids_without_paths(tmp_path: Path) -> None:
    for name in ("one", "deep/er/two"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        ledger(tmp_path / name, 1).close()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    found = Campaigns(tmp_path)
    assert {each.label for each in found.all()} == {"one", "deep/er/two"}
    assert all(each.id.isalnum() and found.get(each.id) is each for each in found.all())
    assert Campaigns(tmp_path / "one").single
    ledger(tmp_path / "later", 1).close()
    assert len(found.all()) == 3


@pytest.mark.parametrize("folder", ["", "nothing"])
def test_where_there_is_no_campaign_it_says_so(tmp_path: Path, folder: str) -> None:
    with pytest.raises(LedgerError, match=r"holds no campaign|is no folder"):
        Campaigns(tmp_path / folder)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "is no folder"),
        (["empty"], "holds no campaign"),
        (["a", "--host", "no.such.host.invalid"], "no such host is known"),
        (["a", "--host", "203.0.113.9"], "this machine has no such address"),
        (["a", "--port", "70000"], "65535"),
        (["a", "--port", "{port}"], "the port is in use"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "empty" / "x").mkdir(parents=True)
    ledger(tmp_path / "a", 1).close()
    with served(tmp_path / "a") as running:
        folder, *more = (each.format(port=running.port) for each in arguments)
        code, _, error = run_here(capfd, "serve", tmp_path / folder, *more)
    assert code == 2
    assert says in error.splitlines()[-1]
    assert "Traceback" not in error


def test_what_is_not_installed_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pawl.serving.dashboard", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    code, _, error = run_here(capfd, "serve", tmp_path)
    assert code == 2
    assert "not installed; run pip install 'pawl[serve]'" in error


def test_recipes_are_told_by_what_is_particular(tmp_path: Path) -> None:
    with ledger(tmp_path / "a", 9):
        known, _ = Campaign(tmp_path / "a", "a", "a").look()
    common = shared(known.trials)
    assert common.techniques == {"standardize", "adamw"}
    assert common.varying == ("adamw.learning_rate",)
    assert described(known.trials[1], common).startswith("dropout, adamw learning rate 0.00")
    assert flat({"settings": {"x": 1}, "b": {}}) == {"x": 1, "b": True}
    assert setting_name("batch_size.size") == "batch size"
    assert Order.of({"sort": "score", "order": "up"}, known) == Order(column="score", down=False)


def test_axes_and_long_lines() -> None:
    assert [text for _, text in Axis(low=0.61, high=0.83).ticks(5)] == [
        "0.65", "0.70", "0.75", "0.80",
    ]  # fmt: skip
    assert Axis(low=1.0, high=1.0).ticks(5) == [(1.0, "1")]
    assert Axis(low=1e-4, high=1.0, logarithmic=True).share(1e-2) == pytest.approx(0.5)
    spike = [(float(x), 9.0 if x == 777 else 0.0) for x in range(5000)]
    kept = thinned(spike)
    assert len(kept) <= 310
    assert (777.0, 9.0) in kept
    assert (kept[0], kept[-1]) == (spike[0], spike[-1])
    svg = lines(
        [Line(points=[(0, 1), (1, 2)], tone="first", text="<b>")],
        (Axis(low=0, high=1), Axis(low=1, high=2)),
        label="a\0<",
    )
    assert "<b>" not in svg
    assert "\0" not in svg


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    with ledger(tmp_path / "a", 3):
        process = start("serve", tmp_path, "--port", 0)
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            assert address.startswith("http://127.0.0.1:")
            # Both lines: what was read ahead, `communicate` does not return.
            assert process.stdout.readline() == "Ctrl-C ends the pages, never a campaign\n"
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(address.partition("?")[0])
            jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            assert "a</a>" in jar.open(address).read().decode()
            process.send_signal(number)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, error) == (0, "", "")


def test_a_training_is_shown_as_one_and_not_as_a_campaign(tmp_path: Path) -> None:
    found = {"metric": "roc_auc", "value": 0.9261, "interval": [0.8951, 0.9571], "findings": []}
    for name, what in (("done", "train"), ("killed", "train"), ("looked", "diagnosis")):
        made = ledger(tmp_path / name, 0, name=None, source=None, what=what, options={})
        made.record("test/0", "test", {}, [trial(1, phase="test")], 2.0)
        made.close()
    (tmp_path / "done" / "train.json").write_text(json.dumps(found))
    (tmp_path / "looked" / "diagnosis.json").write_text("{}")
    states = {
        name: Campaign(tmp_path / name, name, name).look()[0]
        for name in ("done", "killed", "looked")
    }
    assert {name: (known.state, known.name) for name, known in states.items()} == {
        "done": ("finished", "training"),
        "killed": ("interrupted", "training"),
        "looked": ("finished", "diagnosis"),
    }
    with served(tmp_path) as running:
        listed = running.ask("/").text
        assert listed.count("Finished") == 2
        pages = {each.label: running.ask(f"/c/{each.id}").text for each in running.campaigns.all()}
    assert "Trained." in pages["done"]
    assert "ROC AUC 0.926 on the test rows (95% interval 0.895 to 0.957)" in pages["done"]
    assert "All is done" in pages["looked"]
    assert "No process works on it" in pages["killed"]
    for page in pages.values():
        assert "--resume" not in page
        assert "Steps of the campaign" not in page
        assert "The search" not in page


def test_what_a_training_finds_is_seen_when_it_ends(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 0, what="train").close()
    campaign = Campaign(tmp_path / "a", "a", "a")
    assert campaign.look()[0].state == "interrupted"
    (tmp_path / "a" / "train.json").write_text("{}")
    assert campaign.look()[0].state == "finished"
