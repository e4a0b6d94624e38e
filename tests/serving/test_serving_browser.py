"""A campaign watched in a real browser: from its start to its end, by mouse and by keyboard."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from served import Served, ledger, said, served
from sklearn.datasets import load_breast_cancer
from terminal import start

from pawl.ledger import LEDGER_FILE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PATIENCE = 120_000  # in ms, on a busy machine

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="Chromium is not installed (looked for 'chromium')"
)


@dataclass
class Watched:
    """A dashboard over a campaign that has ended, and what was seen of it before."""

    running: Served
    states: list[str] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as runner:
        started = runner.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def opened(browser: Any, running: Served, problems: list[str], **context: Any) -> Any:
    """A page that has the token, and notes what goes wrong in it."""
    page = browser.new_context(
        **({"viewport": {"width": 1280, "height": 800}} | context)
    ).new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request",
        lambda request: request.url.startswith(running.root) or problems.append(request.url),
    )
    page.goto(f"{running.root}/?token={running.access.token}")
    return page


@pytest.fixture(scope="module")
def watched(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A campaign that is watched from its start, reloaded, asked to end, and watched to its end."""
    folder = tmp_path_factory.mktemp("watched")
    cancer = load_breast_cancer(as_frame=True)
    table = cancer.data.iloc[:, :6].assign(diagnosis=cancer.target)
    table.to_csv(folder / "cancer.csv", index=False)
    process = start(
        "optimize", folder / "cancer.csv", "--target", "diagnosis", "--trials", 400,
        "--families", "nets", "--only", "adamw,dropout,width", "--executor", "inline",
        "--out", folder / "runs" / "cancer",
    )  # fmt: skip
    try:
        _wait_for(folder / "runs" / "cancer" / LEDGER_FILE, process)
        with served(folder / "runs") as running:
            found = Watched(running)
            page = opened(browser, running, found.problems)
            assert page.locator("h1").inner_text() == "Campaigns"
            page.get_by_role("link", name="cancer", exact=True).click()
            page.locator("#search svg .dot").first.wait_for()  # without a reload
            found.states.append(page.locator("#pill").inner_text())
            found.seen["before"] = page.locator("#search svg .dot").count()
            page.reload()
            page.locator("#search svg .dot").first.wait_for()
            found.seen["step"] = page.locator(".steps .now b").inner_text()
            found.seen["share"] = float(page.locator("progress").get_attribute("value"))
            page.get_by_text("End the campaign early").click()
            page.get_by_role("button", name="End it with what it has").click()
            page.locator('.status[data-state="stopping"]').wait_for()
            found.states.append(page.locator("#pill").inner_text())
            page.locator('.status[data-state="finished"]').wait_for()
            found.states.append(page.locator("#pill").inner_text())
            found.seen["headline"] = page.locator("#result h2").inner_text()
            found.seen["announced"] = page.locator("#announce").text_content()
            assert process.wait(120) == 0
            page.context.close()
            yield found
    finally:
        process.kill()
        process.communicate()


def _wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.is_file():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


def test_a_campaign_is_seen_from_start_to_end_and_ends_when_asked(watched: Watched) -> None:
    assert watched.states == ["Running", "Ending", "Finished"]
    assert watched.seen["before"] > 0
    assert watched.seen["step"] in ("Search", "Prepare")
    assert 0 < watched.seen["share"] < 1
    assert watched.seen["announced"] == "Finished"
    assert not watched.problems
    campaign = watched.running.campaigns.all()[0]
    summary = json.loads((campaign.folder / "summary.json").read_text())
    assert watched.seen["headline"]
    assert sum(summary["trials"][name] for name in ("completed", "pruned", "failed")) < 400
    assert "stopped_early" in [finding["rule"] for finding in summary["findings"]]
    assert (campaign.folder / "bundle" / "model.onnx").is_file()


def test_every_page_reads_on_a_desktop_and_on_a_phone(browser: Any, watched: Watched) -> None:
    problems: list[str] = []
    for width in (1280, 390):
        page = opened(browser, watched.running, problems, viewport={"width": width, "height": 800})
        first = watched.running.first
        for path in (
            "/", first, f"{first}?across=time", f"{first}/trials?sort=score", f"{first}/trial/1",
            f"{first}/compare?trial=1&trial=2",
        ):  # fmt: skip
            page.goto(watched.running.root + path)
            assert page.locator("h1").is_visible()
            assert page.evaluate(OVERFLOW) <= 0, (path, width)
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
            assert page.evaluate(OVERFLOW) <= 0, (path, width)
        page.goto(f"{watched.running.root}{first}/file/report")
        assert "cancer" in page.title()
        page.context.close()
    assert not problems


def test_pages_read_without_scripts(browser: Any, watched: Watched) -> None:
    page = opened(browser, watched.running, [], java_script_enabled=False)
    page.get_by_role("link", name="cancer", exact=True).click()
    page.get_by_role("link", name="over time").click()
    assert page.locator('.choices [aria-current="true"]').inner_text() == "over time"
    page.locator("tr.is-best a").first.click()
    assert page.locator(".chart svg").count() == 2
    page.context.close()


def test_all_can_be_done_by_keyboard(browser: Any, watched: Watched) -> None:
    page = opened(browser, watched.running, [])
    page.goto(watched.running.root + watched.running.first)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "To the content"

    def reach(wanted: str) -> None:
        stops = "document.querySelectorAll('a, button, input, select, summary, [tabindex]').length"
        for _ in range(page.evaluate(stops)):  # as many as the campaign had trials, and more
            page.keyboard.press("Tab")
            if (
                page.evaluate("document.activeElement.id || document.activeElement.innerText")
                == wanted
            ):
                box = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert box != "none"
                return
        raise AssertionError(f"{wanted} was not reached")

    reach("All trainings")
    page.keyboard.press("Enter")
    page.wait_for_url("**/trials")
    reach("sort-score")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=score**")
    assert page.locator('th[aria-sort="descending"]').inner_text() == "Validation"
    shown = page.locator("tbody td:nth-child(4)").all_inner_texts()
    scores = [float(text.split()[0]) for text in shown if text[0] in "01"]
    assert scores == sorted(scores, reverse=True)
    # Of what is on the page: on a slow machine there are more trials than a page holds.
    every = "[...document.querySelectorAll('[id^=pick-]')].map(each => each.id)"
    picked = [name[5:] for name in page.evaluate(every)][:2]
    for number in picked:
        reach(f"pick-{number}")
        page.keyboard.press("Space")
    reach("Compare two")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare**")
    assert page.locator("h1").inner_text() == "Trials {} and {}".format(*picked)
    page.context.close()


def test_a_dot_tells_of_its_trial_and_leads_to_it(browser: Any, watched: Watched) -> None:
    page = opened(browser, watched.running, [])
    page.goto(watched.running.root + watched.running.first)
    dot = page.locator("#search .wide .dot.top")
    dot.hover()
    told = page.locator("#search .readout").first.inner_text()
    number = dot.get_attribute("data-trial")
    assert told.startswith(f"Trial {number}: ROC AUC")
    assert page.locator("tr.lit").get_attribute("data-trial") == number
    dot.click()
    page.wait_for_url(f"**/trial/{number}")
    page.context.close()


def test_what_a_reader_has_open_stays_when_the_page_changes(browser: Any, tmp_path: Path) -> None:
    problems: list[str] = []
    with ledger(tmp_path / "a", 20) as made, served(tmp_path) as running:
        said(tmp_path / "a")
        page = opened(browser, running, problems)
        page.goto(running.root + running.first)
        page.get_by_text("End the campaign early").click()
        page.get_by_role("button", name="End it with what it has").focus()
        said(tmp_path / "a", detail="generation 4", trained=41)
        page.get_by_text("generation 4").wait_for()
        assert page.evaluate("document.activeElement.innerText") == "End it with what it has"
        dots = page.locator("#search .wide .dot")
        assert dots.count() == 20
        page.context.set_offline(True)
        made.record("more", "search", {}, [made.trials()[0]], 1.0)  # while it is away
        page.context.set_offline(False)
        dots.nth(20).wait_for()
        page.context.close()
    assert [each for each in problems if "ERR_INTERNET_DISCONNECTED" not in each] == []


def test_the_page_says_when_its_server_is_gone(browser: Any, tmp_path: Path) -> None:
    ledger(tmp_path / "a", 3).close()
    with served(tmp_path) as running:
        page = opened(browser, running, [])
        page.goto(running.root + running.first)
        assert page.locator("#lost").is_hidden()
    page.locator("#lost").wait_for()
    assert page.locator("#lost").inner_text().endswith("The campaign is not affected.")
    page.context.close()


def test_dark_theme_recolors_text_and_charts(browser: Any, watched: Watched) -> None:
    seen = []
    for scheme in ("light", "dark"):
        page = opened(browser, watched.running, [], color_scheme=scheme)
        page.goto(watched.running.root + watched.running.first)
        seen.append(
            page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('#search svg .best')).stroke]"
            )
        )
        page.context.close()
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_there_is_no_serious_fault_of_accessibility(browser: Any, watched: Watched) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    first = watched.running.first
    others = ("/", f"{first}/trials", f"{first}/trial/1", f"{first}/compare?trial=1&trial=2")
    for scheme, paths in (("light", (first, *others)), ("dark", (first,))):
        # The tool runs as a script of the page, which these pages forbid.
        page = opened(browser, watched.running, [], color_scheme=scheme, bypass_csp=True)
        for path in paths:
            page.goto(watched.running.root + path)
            found = axe.run(page).response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            told = [(each["id"], [n["html"] for n in each["nodes"]][:3]) for each in serious]
            assert not told, (path, scheme)
        page.context.close()
