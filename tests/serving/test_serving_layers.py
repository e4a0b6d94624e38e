"""Layers over time, the front of trade-offs, two campaigns side by side: what their pages show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, layers, ledger, said, served, trial, watched

from pawl.serving.fronts import undominated
from pawl.serving.heat import heat, shades


def options(**more: Any) -> dict[str, Any]:
    return {"budget": None, "trials": 8, "seed": 0, **more}


def cost(size: int) -> dict[str, int]:
    return {"parameters": size, "operations": 9}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two campaigns: one with instruments and several objectives, finished; one without."""
    folder = tmp_path_factory.mktemp("runs")
    known = {"fingerprint": "a", "options": options(objectives=["score", "size"])}
    with ledger(folder / "one", 4, name="one", **known) as made:
        made.record("diagnosis", "diagnosis", watched(), [], 1.0)
        made.record("layers", "search", {}, [trial(4, layers=layers(), status="completed")], 1.0)
        sized = [
            trial(
                n,
                score=score,
                status="completed",
                extra={"cost": {"parameters": size, "operations": 9}},
            )
            for n, (score, size) in enumerate([(0.9, 900), (0.8, 100), (0.85, 1000), (0.7, 150)], 5)
        ]
        made.record("sized", "search", {}, sized, 1.0)
        found = {
            "metric": "roc_auc", "direction": "maximize", "proven": True,
            "baseline": {"value": 0.8, "interval": [0.75, 0.85]},
            "gain": {"value": 0.05, "interval": [0.01, 0.09]},
            "techniques": [{"name": "label_smoothing", "verdict": "kept", "effect": 0.02}],
        }  # fmt: skip
        made.write_file("summary.json", json.dumps(found).encode())
    with ledger(folder / "two", 6, name="two", fingerprint="b", options=options(trials=99)):
        pass
    said(folder / "two", pid=0)
    with served(folder) as up:
        yield up


def address(running: Served, name: str) -> str:
    return next(each.id for each in running.campaigns.all() if each.folder.name == name)


def test_layers_of_a_trial_and_of_the_watched_training(running: Served) -> None:
    one, two = address(running, "one"), address(running, "two")
    page = running.ask(f"/c/{one}/trial/5").text
    for text in (
        "Layers over time",
        "first.weight, step 10: norm of the gradient 0.5",
        "not finite",
    ):
        assert text in page
    assert "Layers over time" not in running.ask(f"/c/{one}/trial/1").text
    page = running.ask(f"/c/{one}/layers").text
    for text in ("3 readings in 40 steps (completed)", "Dead units", "first.weight (ReLU)", "0.25"):
        assert text in page
    assert f'href="/c/{one}/layers"' in running.ask(f"/c/{one}").text
    assert running.ask(f"/c/{two}/layers").status == 404
    assert "/layers" not in running.ask(f"/c/{two}").text


def test_the_front_of_trade_offs_is_drawn_and_listed(running: Served) -> None:
    one, two = address(running, "one"), address(running, "two")
    page = running.ask(f"/c/{one}?part=front").text
    assert "2 trials of 4 that ended" in page
    assert 'id="front-6"' in page
    assert 'id="front-7"' in page
    assert 'id="front-8"' not in page
    assert running.ask(f"/c/{two}?part=front").text.strip() == ""


def test_two_campaigns_side_by_side(running: Served) -> None:
    one, two = address(running, "one"), address(running, "two")
    page = running.ask(f"/compare?campaign={one}&campaign={two}").text
    for text in (
        "They are of different data", "0.050 (+0.010 to +0.090)", "proven", "label smoothing",
        "kept +0.02", "<td>8</td><td>99</td>", "Best ROC AUC so far",
    ):  # fmt: skip
        assert text in page, text
    index = running.ask("/").text
    assert "Compare two" in index
    assert f'value="{one}"' in index


def test_shades_are_logarithmic_and_know_what_is_missing() -> None:
    assert shades([[None], [float("nan")], [-1.0]]) is None
    assert shades([[0.0, None]]) == ([[0, None]], (0.0, 0.0))
    found = shades([[0.0, 1.0], [1e4, float("inf")]])
    assert found == ([[0, 0], [7, None]], (1.0, 1e4))
    assert shades([[2.0]]) == ([[4]], (2.0, 2.0))
    picture = heat(["a" * 60], [1], [[1.0]], label="x", what="y")
    assert picture is not None
    assert "…" in picture


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([(1.0, 1.0)], [0]),
        ([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.4, 0.4)], [0, 1, 2]),
        ([(1.0, 1.0), (1.0, 1.0)], [0]),
        ([(1.0, 0.0, 2.0), (1.0, 0.0, 3.0), (0.0, 5.0, 0.0)], [1, 2]),
    ],
)
def test_a_front_has_what_nothing_is_better_than(
    points: list[tuple[float, ...]], kept: list[int]
) -> None:
    assert undominated(points) == kept


PICTURES = os.environ.get("PAWL_PICTURES")


@pytest.mark.skipif(not PICTURES, reason="set PAWL_PICTURES to a folder to look at the pages")
def test_pages_can_be_looked_at(running: Served) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    one, two = address(running, "one"), address(running, "two")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for width in (1280, 390):
            page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
            page.goto(f"{running.root}/?token={running.access.token}")
            for name, path in {
                "index": "/", "layers": f"/c/{one}/layers", "trial": f"/c/{one}/trial/5",
                "front": f"/c/{one}", "versus": f"/compare?campaign={one}&campaign={two}",
            }.items():  # fmt: skip
                page.goto(running.root + path)
                page.screenshot(path=Path(PICTURES or ".", f"{name}-{width}.png"), full_page=True)
                overflow = "document.documentElement.scrollWidth - innerWidth"
                assert page.evaluate(overflow) <= 0, (path, width)
        browser.close()
