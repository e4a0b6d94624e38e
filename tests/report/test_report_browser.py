"""The page in a real browser: it fits a desktop and a phone, and asks the network for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pawl.report import Report, render

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="Chromium is not installed (looked for 'chromium')"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as runner:
        started = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def long_page(cases: dict[str, Report]) -> str:
    """Names that have no place to break."""
    report = cases["proven"]
    word = "x" * 90
    techniques = [
        technique.model_copy(update={"name": word, "settings": {word: word}, "reason": word})
        for technique in report.summary.techniques
    ]
    task = report.summary.task.model_copy(update={"name": word, "source": word, "notes": [word]})
    summary = report.summary.model_copy(
        update={"techniques": techniques, "task": task, "command": word * 3, "metric": word}
    )
    return render(
        Report(summary=summary, trials=report.trials, curves=report.curves, recipe_toml=word * 3)
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_page_reads_without_scripts(
    browser: object, pages: dict[str, str], tmp_path: Path, width: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(pages["proven"], encoding="utf-8")
    context = browser.new_context(  # type: ignore[attr-defined]
        java_script_enabled=False, viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(file.as_uri())
    headline = page.locator("h1")
    assert headline.is_visible()
    assert headline.inner_text().startswith("Proven:")
    drawings = [box for box in page.locator("svg").all() if box.is_visible()]
    assert len(drawings) == 6
    for drawing in drawings:
        box = drawing.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] > 40
    page.locator("summary").first.click()
    assert page.locator("details table").first.is_visible()
    assert requests == [file.as_uri()]
    assert messages == []
    context.close()


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_nothing_is_wider_than_the_page(
    browser: object, pages: dict[str, str], long_page: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})  # type: ignore[attr-defined]
    page = context.new_page()
    for name, html in (pages | {"long": long_page}).items():
        page.set_content(html)
        assert page.evaluate(OVERFLOW) <= 0, name
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        assert page.evaluate(OVERFLOW) <= 0, f"{name}, tables open"
    context.close()


def test_dark_theme_recolors_text_and_charts(browser: object, pages: dict[str, str]) -> None:
    html = pages["bare"]
    seen = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)  # type: ignore[attr-defined]
        page = context.new_page()
        page.set_content(html)
        seen.append(
            page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('svg text')).fill]"
            )
        )
        context.close()
    light, dark = seen
    assert light[0] != dark[0]
    assert light[1] != dark[1]
