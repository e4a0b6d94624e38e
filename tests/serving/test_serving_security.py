"""Who may ask, and what can be reached: every route, every method, as an attacker would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from served import Served, layers, ledger, said, served, trial, watched

from pawl.ledger import stop_asked
from pawl.serving.dashboard import Pages
from pawl.serving.security import Access

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
EVIL = """"><script>alert(1)</script><img src=x onerror=alert(2)>'`{{70001*70001}}"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    with ledger(folder / "plain") as made:
        made.write_file("report.html", b"<p>the report</p>")
    (folder / "secret.txt").write_text("do not show this")
    (folder / "plain" / "summary.json").symlink_to(folder / "secret.txt")
    said(folder / "plain")
    return folder


@pytest.fixture(scope="module")
def dashboard(runs: Path) -> Iterator[Served]:
    with served(runs) as running:
        yield running


@pytest.fixture(scope="module")
def paths(dashboard: Served) -> list[str]:
    """An address of every route that there is, and some of none."""
    id = dashboard.campaigns.all()[0].id
    known = {"id": id, "trial:int": "1", "name": "report.css"}
    routes = [route.path for route in Pages(dashboard.campaigns).routes()]
    assert len(routes) > 8
    filled = [re.sub(r"{([^}]+)}", lambda found: known[found[1]], path) for path in routes]
    assert not any("{" in path for path in filled)
    return [*filled, f"/c/{id}/file/report", "/favicon.ico", "/nothing"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("token", [None, "wrong", "wide"])
def test_nothing_is_there_without_the_token(
    dashboard: Served, paths: list[str], method: str, token: str | None
) -> None:
    name, right = dashboard.access.cookie, dashboard.access.token
    cookie = {None: None, "wrong": f"{name}={right[:-1]}", "wide": f"other={right}; {name}=é"}[
        token
    ]
    if cookie is not None:
        cookie = cookie.encode().decode("latin-1")
    for path in paths:
        for asked in (path, f"{path}?token={right[:-1]}"):
            answer = dashboard.ask(asked, method, cookie=cookie, Origin=dashboard.root)
            assert answer.status == 401, (method, asked)
            assert "made-up" not in answer.text
            assert "content-security-policy" in answer.headers


def test_the_token_opens_the_first_page_only_and_leaves_the_address(dashboard: Served) -> None:
    access = dashboard.access
    for path in (dashboard.first, "/static/report.css", f"{dashboard.first}/events"):
        assert dashboard.ask(f"{path}?token={access.token}", cookie=None).status == 401
    for method in ("POST", "HEAD"):
        opened = dashboard.ask(
            f"/?token={access.token}", method, cookie=None, Origin=dashboard.root
        )
        assert opened.status == 401
    answer = dashboard.ask(f"/?token={access.token}", cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    given = answer.headers["set-cookie"]
    assert given.startswith(f"{access.cookie}={access.token}; ")
    assert "HttpOnly" in given
    assert "SameSite=strict" in given
    assert access.token not in repr(access)


@pytest.mark.parametrize("method", METHODS)
def test_foreign_hosts_and_origins_are_refused(
    dashboard: Served, paths: list[str], method: str
) -> None:
    own = f"127.0.0.1:{dashboard.port}"
    hosts = (
        "evil.example",
        f"evil.example:{dashboard.port}",
        "127.0.0.1",
        f"127.0.0.1.evil:{dashboard.port}",
    )
    origins = (
        "http://evil.example",
        "null",
        "https://" + own,
        "http://127.0.0.1",
        f"http://{own}.evil",
    )
    for path in paths:
        for host in hosts:
            assert dashboard.ask(path, method, Host=host, Origin=f"http://{host}").status == 421
        for origin in origins:
            assert dashboard.ask(path, method, Origin=origin).status == 403
        for site in ("cross-site", "same-site"):
            refused = dashboard.ask(path, method, Origin=f"http://{own}", Sec_Fetch_Site=site)
            assert refused.status == 403
        assert dashboard.ask(path, method, Host="").status == 400
        if method not in ("GET", "HEAD"):  # what changes something says where it comes from
            assert dashboard.ask(path, method).status == 403


def test_only_the_methods_of_a_route_are_there(dashboard: Served, runs: Path) -> None:
    for method in METHODS[2:]:
        answer = dashboard.ask(dashboard.first, method, Origin=dashboard.root)
        assert answer.status == 405, method
    assert dashboard.ask(f"{dashboard.first}/stop").status == 405
    assert not stop_asked(runs / "plain")


def test_every_answer_forbids_what_is_not_served_here(dashboard: Served, paths: list[str]) -> None:
    for path in paths:
        answer = dashboard.ask(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "unsafe-eval" not in policy
        assert "unsafe-inline" not in policy or path.endswith("/file/report")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers
    assert "sandbox" in dashboard.ask(f"{dashboard.first}/file/report").headers[
        "content-security-policy"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/static/../dashboard.py", "/static/..%2fdashboard.py", "/static/%2e%2e/dashboard.py",
        "/static//etc/passwd", "{c}/file/../../secret.txt", "{c}/file/..%2f..%2fsecret.txt",
        "{c}/file/ledger.sqlite", "{c}/file/.lock", "{c}/file/report.html", "{c}/file/explain-0",
        "{c}/file/explain-%20", "{c}/file/explain--1", "{c}/file/summary", "{c}/file/%00",
        "{c}/trial/999999999999999999999", "{c}/trial/-1", "{c}/trial/1%20OR%201", "/c/..%2f..%2fetc",
        "/c/../../etc/passwd", "/c/plain", "{c}/../../secret.txt", "//evil.example/", "{c}?part=../base",
        "{c}?part=base",
    ],
)  # fmt: skip
def test_paths_climb_nowhere(dashboard: Served, path: str) -> None:
    answer = dashboard.ask(path.format(c=dashboard.first))
    assert answer.status == 404, path
    assert "do not show this" not in answer.text
    assert "location" not in answer.headers


def test_odd_queries_are_taken_for_none(dashboard: Served) -> None:
    first = dashboard.first
    for query in (
        "sort=__class__",
        "page=-1",
        "page=99999999999999",
        "phase=%27--",
        "order=%00",
        "across=x",
    ):
        assert dashboard.ask(f"{first}/trials?{query}").status == 200
        assert dashboard.ask(f"{first}?{query}").status == 200
    for query in ("", "trial=1", "trial=1&trial=x", "trial=1&trial=99999"):
        assert dashboard.ask(f"{first}/compare?{query}").status == 400
    assert dashboard.ask(f"{first}/compare?trial=1&trial=2").status == 200
    id = first.rpartition("/")[2]
    for query in (
        "",
        f"campaign={id}",
        f"campaign={id}&campaign={id}",
        f"campaign={id}&campaign=..",
    ):
        assert dashboard.ask(f"/compare?{query}").status == 400


class Seen(HTMLParser):
    """Elements and attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    folder = tmp_path / f"<img src=x onerror=alert(3)>{chr(0x202E)}"
    recipe = {EVIL: {EVIL: EVIL}, "adamw": {"learning_rate": 0.1}}
    evil = {"recipe": recipe, "role": EVIL, "reason": EVIL, "recipe_id": EVIL, "split": EVIL}
    identity = {"name": EVIL, "source": EVIL, "command": EVIL, "options": {EVIL: EVIL, "seed": 1}}
    ledger(tmp_path / "other", 2).close()
    with ledger(folder, 8, **identity) as made:
        read = {"extra": {"arm": EVIL}, "layers": layers(EVIL)}
        made.record("x", EVIL, {}, [trial(9, phase=EVIL, **read, **evil)], 1.0)
        made.record("diagnosis", "diagnosis", watched(EVIL), [], 1.0)
        made.record("y", "search", {}, [trial(n, status=EVIL, **evil) for n in (10, 11)], 1.0)
        features = [{"name": EVIL, "value": 0.1, "interval": [0.0, 0.2]}]
        for name in ("explain.html", "explain.json"):
            made.write_file(
                f"{EVIL.replace('/', '')}/{name}",
                json.dumps({"importance": {"features": features}}).encode(),
            )
    said(folder, phase=EVIL, detail=EVIL, metric=EVIL)
    with served(tmp_path) as running:
        by_name = {each.folder.name: each.id for each in running.campaigns.all()}
        first = f"/c/{by_name[folder.name]}"
        both = "&".join(f"campaign={id}" for id in by_name.values())
        own = (
            "", "/layers", "?across=steps", "/trials", "/trial/9", "/compare?trial=9&trial=1",
            "?part=status", "?part=search",
        )  # fmt: skip
        for path in ("/", f"/compare?{both}", *(f"{first}{each}" for each in own)):
            answer = running.ask(path)
            assert answer.status == 200, answer.text
            page = Seen()
            page.feed(answer.text)
            scripts = [each for tag, each in page.tags if tag == "script"]
            assert scripts in ([], [{"src": "/static/dashboard.js", "defer": None}])
            assert not any(
                tag in ("img", "iframe", "object", "base", "style") for tag, _ in page.tags
            )
            for _, attributes in page.tags:
                assert not any(name.startswith("on") or name == "style" for name in attributes)
            assert "4900140001" not in answer.text
        assert "&lt;script&gt;" in running.ask(first).text


def test_stop_is_written_for_a_campaign_that_runs(tmp_path: Path) -> None:
    ledger(tmp_path / "a", 3).close()
    with served(tmp_path) as running:
        path = f"{running.first}/stop"
        assert running.ask(path, "POST", Origin=running.root).status == 409  # nobody works on it
        assert not stop_asked(tmp_path / "a")
        said(tmp_path / "a")
        answer = running.ask(path, "POST", Origin=running.root)
        assert (answer.status, answer.headers["location"]) == (303, running.first)
    assert stop_asked(tmp_path / "a")


def test_hosts_by_where_it_listens() -> None:
    assert Access.of("::1", 1).hosts == Access.of("127.0.0.1", 1).hosts
    assert "192.168.1.5:80" in Access.of("192.168.1.5", 80).hosts
    assert not any(host.startswith("0.0.0.0") for host in Access.of("0.0.0.0", 80).hosts)
    assert len({Access.of("localhost", 1).token for _ in range(50)}) == 50
