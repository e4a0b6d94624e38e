"""Predictions over HTTP: what comes back, and what is refused how."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bundles import bundle_of
from PIL import Image
from predicted import Served, serving
from problems import frame, images, several
from torch import Tensor, nn

from pawl.errors import DataWarning, TaskError
from pawl.options import ReadOptions
from pawl.options.serving import PredictionServerCall
from pawl.serving.predicting import server as listening
from pawl.serving.predicting.connections import HEAD_BYTES
from pawl.task import Task

GOOD = {"size": 0.5, "age": None, "noise": 2.5, "color": "red", "shape": "round"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Task(data=frame()), tmp_path_factory.mktemp("table") / "campaign")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder, max_body="20kB", max_rows=100, timeout="1s", max_batch=8) as running:
        yield running


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(rows.to_json(orient="records", double_precision=15))


def same(got: list[dict[str, Any]], expected: pd.DataFrame) -> None:
    assert [list(row) for row in got] == [list(expected.columns)] * len(expected)
    pd.testing.assert_frame_equal(pd.DataFrame(got), expected, check_dtype=False, rtol=1e-5)


def refused(answer: tuple[int, Any], status: int, *words: str) -> dict[str, Any]:
    assert answer[0] == status, answer
    error = answer[1]["error"]
    assert error["status"] == status
    assert "\n" not in error["message"]
    for word in words:
        assert word in error["message"]
    return error


def test_json_rows_get_what_predict_gives(served: Served) -> None:
    rows = frame(50).drop(columns="target")
    expected = served.bundle.predict(rows)
    for body in ({"rows": records(rows)}, records(rows)):
        status, got = served.ask(body)
        assert status == 200
        same(got["predictions"], expected)
        assert "notes" not in got
    status, got = served.ask(records(rows)[3], Accept="application/json, text/csv")
    assert status == 200
    same(got["predictions"], expected.iloc[3:4].reset_index(drop=True))


def test_csv_rows_get_what_predict_gives_and_writes(served: Served, tmp_path: Path) -> None:
    rows = frame(30).drop(columns="target").round(3)
    source = tmp_path / "rows.csv"
    rows.to_csv(source, index=False, sep=";", decimal=",")
    expected = served.bundle.predict(source)
    status, got = served.ask(source.read_bytes(), "text/csv; charset=utf-8")
    assert status == 200
    same(got["predictions"], expected)
    status, text = served.ask(source.read_bytes(), "text/csv", Accept="text/csv")
    assert status == 200
    assert text == expected.to_csv(index=False)


def test_cells_that_no_model_takes_are_told(served: Served) -> None:
    _, got = served.ask([GOOD, GOOD | {"color": "violet"}])
    assert len(got["predictions"]) == 2
    assert got["notes"] == [
        "column 'color': 1 of 2 cells are no category of the model and count as unknown; the first is "
        "'violet' in row 2"
    ]
    _, got = served.ask(b"size,age,noise,color,shape\n1,old,2,red,round\n", "text/csv")
    assert "no finite number" in got["notes"][0]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([GOOD, GOOD | {"age": "old"}], 422, ("row 2, column 'age'", '"old"', "a number, or null")),
        ([GOOD | {"age": [3]}], 422, ("row 1, column 'age'", "a list", "a number")),
        ([GOOD | {"color": {}}], 422, ("column 'color'", "an object", "a text or number")),
        ([{k: v for k, v in GOOD.items() if k != "age"} | {"Age": 3}], 422, ("lacks", "'age'", "'Age'")),
        ([GOOD, 3], 422, ("row 2", "got 3", "an object")),
        ([[1, 2]], 422, ("row 1", "a list", "an object")),
        ({"rows": "all"}, 422, ('got "all" as rows', "allowed are")),
        ([], 422, ("no rows",)),
        ([GOOD] * 101, 413, ("101 rows", "at most 100")),
        (b'{"rows": [', 400, ("no JSON", "line 1")),
        (b"", 400, ("empty",)),
        (b"\xff\xfe", 400, ("JSON",)),
        (b"[" * 5000 + b"]" * 5000, 400, ("JSON",)),
        (b"[" + b"9" * 5000 + b"]", 400, ("JSON",)),
    ],
)  # fmt: skip
def test_wrong_rows_are_refused_in_a_line(
    served: Served, body: Any, status: int, words: tuple[str, ...]
) -> None:
    refused(served.ask(body), status, *words)


def test_the_cell_that_is_wrong_is_named(served: Served) -> None:
    error = refused(served.ask([GOOD, GOOD | {"age": "old"}]), 422)
    assert (error["column"], error["row"], error["got"]) == ("age", 2, '"old"')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"size,age\n1,2\n", ("no column 'noise'",)),
        (b"size,age,noise,color,shape\n1,2\n", ("line 2", "got 2 cell")),
        (b"size,age,noise,color,shape\n", ("no rows",)),
        (b"\n\n", ("empty",)),
        (b"a,a\n1,2\n", ("several columns called 'a'",)),
    ],
)
def test_wrong_csv_is_refused_in_a_line(
    served: Served, body: bytes, words: tuple[str, ...]
) -> None:
    refused(served.ask(body, "text/csv"), 422, *words)


def test_other_types_paths_methods_and_hosts_are_refused(served: Served) -> None:
    refused(served.ask([GOOD], "text/plain"), 415, "'text/plain'", "application/json, text/csv")
    refused(served.ask(b"x", "image/png"), 415, "image/png")
    refused(served.ask(b"x", **{"Content-Encoding": "gzip"}), 415, "gzip")
    refused(served.ask(path="/nothing"), 404, "'/nothing'")
    status, got, headers = served.ask_fully(path="/predict")
    refused((status, got), 405, "GET", "POST")
    assert headers["allow"] == "POST"
    refused(served.ask(path="/schema", Host="pawl.example"), 421, "host")


def test_bodies_that_are_too_large_are_refused(served: Served) -> None:
    refused(served.ask(b" " * 30_000), 413, "20000 bytes", "max_body")
    status, got, headers = served.ask_fully(b" " * 60_000, Expect="100-continue")
    refused((status, got), 413)
    assert headers["connection"] == "close"
    with socket.create_connection(("127.0.0.1", served.port), 30) as link:
        start = f"POST /predict HTTP/1.1\r\nHost: localhost:{served.port}\r\n"
        link.sendall(
            start.encode()
            + b"Transfer-Encoding: chunked\r\n\r\n7530\r\n"
            + b" " * 30_000
            + b"\r\n0\r\n\r\n"
        )
        assert link.recv(100).startswith(b"HTTP/1.1 413")


def head(served: Served, length: int) -> bytes:
    return (
        f"POST /predict HTTP/1.1\r\nHost: localhost:{served.port}\r\nContent-Length: {length}\r\n"
        "Content-Type: application/json\r\n\r\n"
    ).encode()


def test_slow_bodies_and_heads_without_end_are_ended(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 30) as link:
        link.sendall(head(served, 100) + b"[")
        assert link.recv(100).startswith(b"HTTP/1.1 408")
    for sent, status in (
        (b"GET / HTTP/1.1\r\nX: " + b"y" * HEAD_BYTES + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * HEAD_BYTES + b"\r\nContent-Length: 2\r\n\r\n{}", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ):
        with socket.create_connection(("127.0.0.1", served.port), 30) as link:
            link.sendall(sent)
            assert link.recv(100).startswith(b"HTTP/1.1 " + status)


def test_silent_connections_are_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pawl.serving.predicting.connections.HEAD_SECONDS", 0.1)
    with serving(folder) as running, socket.create_connection(("127.0.0.1", running.port)) as link:
        link.sendall(b"GET /hea")
        assert link.recv(100).startswith(b"HTTP/1.1 408")
        assert running.ask([GOOD])[0] == 200


def test_too_many_connections_are_refused(folder: Path) -> None:
    with serving(folder, max_connections=2) as running:
        address = ("127.0.0.1", running.port)
        with (
            socket.create_connection(address, 30),
            socket.create_connection(address, 30),
            socket.create_connection(address, 30) as third,
        ):
            assert third.recv(1000).startswith(b"HTTP/1.1 503")


def test_clients_that_go_leave_nothing_behind(served: Served) -> None:
    body = json.dumps([GOOD]).encode()
    sent = head(served, len(body)) + body
    for cut in (10, len(sent) - 10, len(sent)):
        with socket.create_connection(("127.0.0.1", served.port), 30) as link:
            link.sendall(sent[:cut])
    status, text = served.ask(path="/metrics")
    deadline = time.monotonic() + 30
    while "pawl_requests_in_progress 0\n" not in text and time.monotonic() < deadline:
        status, text = served.ask(path="/metrics")
    assert status == 200
    assert "pawl_requests_in_progress 0\n" in text
    assert "pawl_body_bytes 0\n" in text
    assert served.ask([GOOD])[0] == 200


def test_requests_at_once_each_get_their_own(served: Served) -> None:
    rows = frame(64).drop(columns="target")
    expected = served.bundle.predict(rows)
    listed = records(rows)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda row: served.ask(row)[1]["predictions"][0], listed))
    same(found, expected)


def test_schema_health_and_metrics(served: Served) -> None:
    status, schema = served.ask(path="/schema")
    assert status == 200
    assert schema["answer"] == ["prediction", "p_no", "p_yes"]
    assert [column["name"] for column in schema["columns"]] == list(GOOD)
    assert schema["limits"] == {"body_bytes": 20_000, "rows": 100, "seconds": 1.0}
    assert served.ask(schema["example"])[0] == 200
    assert served.ask(path="/health")[1]["status"] == "ok"
    _, text, headers = served.ask_fully(path="/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'pawl_requests_total{status="200"}' in text
    assert 'pawl_batch_rows_bucket{le="+Inf"}' in text
    assert "POST /predict" in served.ask(path="/")[1]


def test_images_as_they_are_and_in_a_form(tmp_path: Path) -> None:
    pixels, targets = images()
    for number, (image, target) in enumerate(zip(pixels, targets, strict=True)):
        path = tmp_path / "images" / str(target) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    folder = bundle_of(Task(data=tmp_path / "images"), tmp_path / "campaign", "accuracy", epochs=2)
    with serving(folder, max_rows=2) as running:
        expected = running.bundle.predict(tmp_path / "images")
        names = expected["file"][:2]
        files = [(tmp_path / "images" / name).read_bytes() for name in names]
        status, got = running.ask(files[0], "image/png")
        assert status == 200
        first = expected.head(1).assign(file="image")
        same(got["predictions"], first)
        status, got = running.ask(*form(names, files))
        assert status == 200
        same(got["predictions"], expected.head(2))
        refused(running.ask(b"no image", "image/png"), 422, "'image'", "none of PNG")
        refused(running.ask(*form([*names, "c"], [*files, b""])), 413, "files")
        refused(running.ask(b"--x", "multipart/form-data"), 400, "form")
        refused(running.ask(b"--x--\r\n", "multipart/form-data; boundary=x"), 422, "no files")
        refused(running.ask([GOOD]), 415, "image/*")
        assert running.ask(path="/schema")[1]["images"] == {"mode": "L", "height": 8, "width": 8}


def form(names: Any, files: list[bytes]) -> tuple[bytes, str]:
    body = io.BytesIO()
    for name, content in zip(names, files, strict=True):
        body.write(
            b"--limit\r\nContent-Disposition: form-data; name=\"images\"; filename=\""
            + name.encode() + b"\"\r\nContent-Type: image/png\r\n\r\n" + content + b"\r\n"
        )  # fmt: skip
    body.write(b"--limit--\r\n")
    return body.getvalue(), "multipart/form-data; boundary=limit"


def test_arrays_and_several_targets(tmp_path: Path) -> None:
    rows = several()
    targets = rows[["near", "far", "odd"]].to_numpy()
    inputs = rows[["size", "noise"]].to_numpy(np.float32)
    folder = bundle_of(Task(data=(inputs, targets)), tmp_path / "campaign", "r2", epochs=2)
    with serving(folder) as running:
        expected = running.bundle.predict(inputs[:5])
        for given in ({"rows": inputs[:5].tolist()}, [{"x": row} for row in inputs[:5].tolist()]):
            status, got = running.ask(given)
            assert status == 200
            same(got["predictions"], expected)
        refused(running.ask([[1, 2, 3]]), 422, "shape [3]", "[2] is needed")
        refused(running.ask([["a", "b"]]), 422, "'x'")
        refused(running.ask([{"z": [1, 2]}]), 422, "lacks the input 'x'")
        assert running.ask(path="/schema")[1]["inputs"][0]["shape"] == [2]


def test_a_queue_that_is_full_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request is computed, one row may wait; who comes then is told when to come again."""
    with serving(folder, max_queue=1) as running:
        held, computing = threading.Event(), threading.Event()
        true = type(running.bundle).predict_raw

        def slow(self: Any, examples: Any) -> np.ndarray:
            computing.set()
            held.wait(30)
            return true(self, examples)

        monkeypatch.setattr(type(running.bundle), "predict_raw", slow)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(running.ask, [GOOD])
            computing.wait(30)
            second = pool.submit(running.ask, [GOOD])
            while "pawl_queue_rows 1\n" not in running.ask(path="/metrics")[1]:
                time.sleep(0.01)
            status, got, headers = running.ask_fully([GOOD])
            held.set()
            assert first.result()[0] == second.result()[0] == 200
    refused((status, got), 503, "1 rows wait")
    assert int(headers["retry-after"]) >= 1


def test_requests_in_work_are_answered_before_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(folder) as running, ThreadPoolExecutor(1) as pool:
        held, computing = threading.Event(), threading.Event()
        true = type(running.bundle).predict_raw

        def slow(self: Any, examples: Any) -> np.ndarray:
            computing.set()
            held.wait(30)
            return true(self, examples)

        monkeypatch.setattr(type(running.bundle), "predict_raw", slow)
        asked = pool.submit(running.ask, [GOOD])
        computing.wait(30)
        running.server.should_exit = True
        while running.server.servers[0].sockets:
            time.sleep(0.01)
        held.set()
        assert asked.result()[0] == 200
        with pytest.raises(ConnectionRefusedError):
            running.ask(path="/health")


def test_what_takes_too_long_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    with serving(folder, timeout=0.2) as running:
        monkeypatch.setattr(type(running.bundle), "predict_raw", lambda *_: held.wait(30))
        status, got, headers = running.ask_fully([GOOD])
        held.set()
    refused((status, got), 503, "within 0.2 seconds")
    assert "retry-after" in headers


def test_an_error_of_the_server_is_told_and_it_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(folder) as running, monkeypatch.context() as patch:
        patch.setattr(type(running.bundle), "predict_raw", lambda *_: 1 / 0)
        refused(running.ask([GOOD]), 500, "its log says why")
        patch.undo()
        assert running.ask([GOOD])[0] == 200


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def test_nothing_is_answered_without_the_token(folder: Path) -> None:
    token = "a-secret.of_16+chars"
    wrong = (
        {}, {"Authorization": token}, {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Basic {token}"}, {"Authorization": "Bearer "}, {"Cookie": f"token={token}"},
        {"Authorization": f"Bearer {token}\xe9"},
    )  # fmt: skip
    with serving(folder, token=token) as running:
        for path in (
            "/predict",
            "/",
            "/schema",
            "/health",
            "/metrics",
            "/nothing",
            f"/?token={token}",
        ):
            for method in METHODS:
                for headers in wrong if path == "/schema" else wrong[2:3]:
                    with contextlib.closing(
                        http.client.HTTPConnection("127.0.0.1", running.port, 60)
                    ) as link:
                        link.request(method, path, headers=headers)
                        answer = link.getresponse()
                        text = answer.read().decode()
                    assert answer.status == 401, (method, path, headers)
                    assert answer.getheader("www-authenticate") == "Bearer"
                    assert "color" not in text
                    assert token not in text
        given = {"Authorization": f"Bearer {token}"}
        status, got = running.ask([GOOD], **given)
        assert (status, len(got["predictions"])) == (200, 1)
        assert running.ask(path="/health", **{"Authorization": f"bearer {token}"})[0] == 200
        refused(running.ask([GOOD]), 401, "Authorization: Bearer TOKEN")
        refused(running.ask([GOOD], Host="pawl.example", **given), 421)
        assert token not in repr(PredictionServerCall(token=token))


def test_a_token_is_made_or_taken_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[PredictionServerCall] = []

    def only_noted(bundle: Any, call: PredictionServerCall, socket: Any) -> Any:
        called.append(call)
        return SimpleNamespace(run=lambda sockets: None)

    monkeypatch.setattr(listening, "server_of", only_noted)
    said: list[str] = []
    listening.serve(folder, port=0, token="new", told=said.append)
    assert said[0] == f"requests need the header Authorization: Bearer {called[-1].token}"
    assert len(called[-1].token or "") > 40
    for given, expected in ({}, "of-the-environment"), ({"token": 20 * "x"}, 20 * "x"):
        monkeypatch.setenv("PAWL_TOKEN", "of-the-environment")
        said.clear()
        listening.serve(folder, port=0, told=said.append, **given)
        assert called[-1].token == expected
        assert not any(expected in line for line in said)
    monkeypatch.delenv("PAWL_TOKEN")
    listening.serve(folder, host="0.0.0.0", port=0, told=said.append)
    assert called[-1].token is None
    assert "note: 0.0.0.0 may be reached by others, and there is no token" in said


def test_wrong_options_are_told(folder: Path) -> None:
    for options, word in (
        ({"port": 70_000}, "65535"),
        ({"max_body": "large"}, "1MB"),
        ({"max_wait": "long"}, "2ms"),
        ({"timeout": "0s"}, "above zero"),
        ({"token": "short"}, "got a token of 5 character"),
        ({"token": "with a space and more"}, "16 to 256 letters, digits"),
        ({"host": "no.such.host.example"}, "no such host"),
    ):
        with pytest.raises(TaskError, match=word):
            listening.serve(folder, **options)
    with listening.bound("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TaskError, match="the port is in use"):
            listening.serve(folder, port=port)


def sales(rows: int = 240) -> pd.DataFrame:
    random = np.random.default_rng(0)
    found = pd.DataFrame(
        {"day": pd.date_range("2026-01-01", periods=rows // 2).repeat(2).astype(str)}
    )
    found["shop"] = ["north", "south"] * (rows // 2)
    found["rain"] = random.normal(size=rows).round(3)
    found["sold"] = random.normal(size=rows).round(3)
    return found


@pytest.mark.parametrize("horizon", [None, 2])
def test_rows_of_a_series_see_those_before_them(tmp_path: Path, horizon: int | None) -> None:
    table = sales()
    options = ReadOptions(time=("day",), window=3, group="shop", horizon=horizon)
    folder = bundle_of(
        Task(data=table, target="sold", read=options), tmp_path / "campaign", metric="rmse"
    )
    new = table.tail(12).reset_index(drop=True)
    new.loc[10:, "sold"] = np.nan
    with serving(folder) as running:
        with pytest.warns(DataWarning, match="fewer than 3 rows before them"):
            expected = running.bundle.predict(new)
        status, got = running.ask(records(new))
        assert status == 200
        same(got["predictions"], expected)
        assert "fewer than 3 rows before them" in got["notes"][0]
        assert running.ask(new.to_csv(index=False).encode(), "text/csv")[1] == got
        lacking = [
            {name: cell for name, cell in row.items() if name != "sold"} for row in records(new)
        ]
        refused(running.ask(lacking), 422, "row 1", "'sold'", "null")
        timeless = [records(new)[0], {**records(new)[1], "day": None}]
        refused(running.ask(timeless), 422, "no value", "'day'", "row 2")
        refused(
            running.ask([{**records(new)[0], "day": [1]}]), 422, "row 1, column 'day'", "a date"
        )
        schema = running.ask(path="/schema")[1]
        assert {each["name"] for each in schema["columns"]} == set(table.columns)
        assert schema["window"] == {
            "rows": 3, "ahead": horizon or 1, "time": ["day"], "series": "shop",
        }  # fmt: skip
        first, last = schema["example"]["rows"]
        assert first["day"] < last["day"]
        assert (first["sold"], last["sold"]) == (0, None)
        status, got = running.ask(schema["example"])
        assert status == 200
        assert len(got["predictions"]) == 2


class Pixels(nn.Module):
    """A value for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(x).squeeze(1)


def test_rows_without_a_prediction_have_none_and_are_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(160, 3)).astype(np.float32)
    task = Task(data=(inputs, (inputs[:, 0] > 0).astype(int)), model=lambda spec: nn.Linear(3, 2))
    note = "1 of 2 predictions are not finite: the model has none for these rows"
    with serving(bundle_of(task, tmp_path / "classes", epochs=1)) as running:
        rows = [[1e300, 0, 0], [0, 0, 0]]
        status, got = running.ask(rows)
        assert (status, got["notes"]) == (200, [note])
        assert list(got["predictions"][0].values()) == [None] * 3
        assert None not in got["predictions"][1].values()
        text = running.ask(rows, Accept="text/csv")[1]
        assert text.splitlines()[1] == ",,"
        with pytest.warns(DataWarning, match=note):
            expected = running.bundle.predict(rows)
        assert expected["prediction"].isna().tolist() == [True, False]
    images = random.normal(size=(160, 1, 2, 2)).astype(np.float32)
    task = Task(data=(images, images[:, 0]), model=lambda spec: Pixels())
    with serving(bundle_of(task, tmp_path / "places", "rmse", epochs=1)) as running:
        status, got = running.ask([[[[1e300, 0], [0, 0]]], [[[0, 0], [0, 0]]]])
        assert (status, got["notes"]) == (200, [note])
        assert got["predictions"][0]["prediction"][0][0] is None
        assert None not in got["predictions"][1]["prediction"][0]
