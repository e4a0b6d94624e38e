"""Makes a picture of the report for each outcome that a campaign can have, to be looked at.

python benchmarks/outcomes.py CAMPAIGN OUT

Tables, curves and search are those of a finished campaign's folder; the numbers that decide the outcome
are made up. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pawl
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.report import Report, Summary, render
from pawl.report.assemble import report_of
from pawl.report.outcome import settling, statement

FRESH = {
    "proven": ({"value": 0.0151, "interval": (0.0072, 0.0230), "p_value": 0.0011, "n": 20}, 0.9998),
    "likely": ({"value": 0.0118, "interval": (-0.002, 0.0256), "p_value": 0.12, "n": 10}, 0.94),
    "not": ({"value": -0.0031, "interval": (-0.0121, 0.0059), "p_value": 0.71, "n": 5}, 0.22),
}
SEEN, UNSEEN = (0.0064, 0.0212), (-0.0041, 0.0374)
OUTCOMES: dict[str, dict[str, Any]] = {
    "proven": {"fresh": "proven", "test": SEEN, "seeds": 5},
    "likely": {"fresh": "likely", "test": UNSEEN, "seeds": 5, "to_settle": 17},
    "not-better": {"fresh": "not", "test": None, "seeds": 5},
    "proven-not-seen": {"fresh": "proven", "test": UNSEEN, "seeds": 1},
}


def outcome(summary: Summary, what: dict[str, Any]) -> Summary:
    """Returns a summary with the numbers of an outcome."""
    fresh, likelihood = FRESH[what["fresh"]]
    proven, low_high = what["fresh"] == "proven", what["test"] or (0.0, 0.0)
    gain = sum(low_high) / 2
    base = summary.baseline.model_dump() | {"n": what["seeds"]}
    base |= {key: base[key] - 0.05 for key in ("mean", "value")}
    base["interval"] = tuple(end - 0.05 for end in base["interval"])
    final = base | {key: base[key] + gain for key in ("mean", "value")}
    final["interval"] = tuple(end + gain for end in base["interval"])
    verdict = {} if proven else {"verdict": "unproven", "in_final": what["test"] is not None}
    listed = summary.model_dump(by_alias=True) | {
        "delivered": "baseline" if what["test"] is None else "candidate",
        "proven": proven,
        "likelihood": likelihood,
        "confirmation": fresh,
        "baseline": base,
        "final": final,
        "gain": {
            "value": gain, "interval": low_high, "p_value": 0.004 if low_high == SEEN else 0.12,
            "n": what["seeds"], "proven": proven, "statement": "",
        },
        "techniques": [t.model_dump() | verdict for t in summary.techniques],
        "budget_seconds": 60.0,
    }  # fmt: skip
    found = Summary.model_validate(listed)
    text = statement(found, settled_by=settling(found, what.get("to_settle"), 20))
    return found.model_copy(update={"gain": found.gain.model_copy(update={"statement": text})})


def report(folder: Path) -> Report:
    """Returns what the page of a finished campaign is made of."""
    kept = json.loads((folder / "artifacts" / "kept.json").read_text(encoding="utf-8"))["recipes"]
    baseline, final = (Recipe.from_dict(kept[arm][0]) for arm in ("baseline", "final"))
    with Ledger.open(folder) as ledger:
        summary = pawl.load(folder).summary
        return report_of(ledger, summary, baseline, final)


def main() -> None:
    """Writes a page and a picture of each outcome."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    real = report(given.campaign)
    with sync_playwright() as runner:
        chromium = shutil.which("chromium")
        browser = runner.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, what in OUTCOMES.items():
            page = given.out / f"{name}.html"
            shown = replace(real, summary=outcome(real.summary, what))
            page.write_text(render(shown), encoding="utf-8")
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.absolute().as_uri())
            tab.screenshot(path=given.out / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
