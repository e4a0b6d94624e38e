"""The page as text: what it says, what it must never hold."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser

import jsonschema
import pytest

import pawl.report
from pawl.report import Report, TrialPoint, json_schema, render
from pawl.report.summary import SCHEMA_FILE

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>&\x00{{ 7 * 7 }}"
VOID = {"meta", "col", "br", "img"}


class Page(HTMLParser):
    """Collects the elements, and fails on one that is closed out of turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


@pytest.mark.parametrize("case", ["proven", "unproven", "minimized", "bare"])
def test_page_is_whole_and_loads_nothing(pages: dict[str, str], case: str) -> None:
    html = pages[case]
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert "<script" not in html.lower()
    assert not re.search(r"\b(nan|None|undefined|Infinity)\b", page.text)
    assert not re.search(r"url\(|@import|src=|https?://|xmlns", html)
    for _, attributes in page.elements:
        assert not {"src", "href", "xlink:href", "onload", "onclick"} & attributes.keys()
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert drawings
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert attributes["aria-label"]
        assert "viewbox" in attributes
        assert not {"width", "height"} & attributes.keys()
    figures = sum(tag == "figure" for tag, _ in page.elements)
    assert figures == sum(tag == "details" for tag, _ in page.elements) > 0


def test_charts_take_every_color_from_the_theme(pages: dict[str, str]) -> None:
    colors = {
        attributes[name]
        for tag, attributes in Page(pages["proven"]).elements
        for name in ("fill", "stroke")
        if name in attributes and tag != "style"
    }
    literal = {color for color in colors if color and not color.startswith("var(--")}
    assert literal <= {"none", "transparent"}


def test_proven_gain(pages: dict[str, str]) -> None:
    text = Page(pages["proven"]).text
    assert "Proven: ROC AUC rises from 0.860 to 0.886." in text
    assert "+0.026" in text
    assert "95% interval +0.015 to +0.037" in text
    assert "not measured within the budget" in text
    assert "swapped for cosine" in text
    assert "cost \u00d71.18" in text
    assert "pawl optimize churn.csv --target exited --budget 10m --seed 0" in text
    assert "rows that no choice was made by" in text


def test_no_proven_gain_is_said_plainly(pages: dict[str, str]) -> None:
    html = pages["unproven"]
    text = Page(html).text
    assert "<h1>No proven gain.</h1>" in html
    assert "the bundle holds the baseline" in text
    assert "Proven:" not in text


def test_less_is_better(pages: dict[str, str]) -> None:
    text = Page(pages["minimized"]).text
    assert "RMSE falls from 3,420 to 2,990." in text
    assert "+430" in text
    assert "RMSE on the test rows, lower is better" in text
    assert "without width" in text


def test_nothing_measured(make: Callable[..., Report]) -> None:
    bare = make(trials=(), curves=(), recipe="", techniques=[], findings=[], confirmation=None)
    counts = {"completed": 0, "pruned": 0, "failed": 0, "trained": 4}
    summary = bare.summary.model_copy(
        update={"trials": bare.summary.trials.model_validate(counts), "test_touches": 2}
    )
    text = Page(render(dataclasses.replace(bare, summary=summary))).text
    assert "No search trial was run." in text
    assert "No change from the baseline was judged." in text
    assert "The recipe is empty" in text
    assert "scored twice" in text
    assert "How the two arms learn" not in text


def test_values_that_are_not_finite_are_dashes(make: Callable[..., Report]) -> None:
    nan = float("nan")
    report = make()
    techniques = [
        report.summary.techniques[0].model_copy(update={"effect": nan, "interval": (nan, nan)}),
        report.summary.techniques[1].model_copy(update={"p_value": None, "interval": None}),
    ]
    summary = report.summary.model_copy(
        update={
            "techniques": techniques,
            "baseline": report.summary.baseline.model_copy(update={"interval": (nan, 0.9)}),
            "gain": report.summary.gain.model_copy(
                update={"value": 0.0, "interval": (0.0, 0.0), "p_value": nan}
            ),
        }
    )
    trials = tuple(
        TrialPoint(
            number=i,
            generation=0,
            status="completed" if i else "diverged",
            score=score,
            steps=1,
            recipe="",
            seconds=nan,
        )
        for i, score in enumerate([None, nan, 0.8, 0.8, None])
    )
    curves = tuple(
        dataclasses.replace(point, train_loss=nan if point.step else 1.0, valid_score=float("inf"))
        for point in report.curves
    )
    text = Page(
        render(Report(summary=summary, trials=trials, curves=curves, recipe_toml="a = 1"))
    ).text
    assert not re.search(r"\b(nan|inf|None)\b", text, re.IGNORECASE)


def test_what_is_no_fault_stands_apart(pages: dict[str, str]) -> None:
    def section(name: str) -> str:
        _, _, rest = pages["proven"].partition(f'<section id="{name}">')
        return Page(rest.partition("</section>")[0]).text

    faults, remarks = section("findings"), section("remarks")
    assert "Dead units" in faults
    assert "Class imbalance" not in faults
    assert "What else to know Class imbalance 20% of the rows are of class `yes`." in remarks
    assert "Fault" not in remarks
    assert 'id="remarks"' not in pages["bare"]


def test_one_model_stands_beside_those_that_are_averaged(make: Callable[..., Report]) -> None:
    plain = make().summary
    single = {
        "name": "extra_trees", "instead_of": 12, "latency_ms": 0.02, "batch_latency_ms": 0.3,
        "size_bytes": 52_000, "parameters": 1234, "effect": None,
    }  # fmt: skip
    cost = plain.cost.model_dump() | {"single": single}
    text = Page(render(make(cost=cost))).text
    assert "One model: extra trees" in text
    assert "0.0200 ms" in text
    assert "in place of the 12 whose mean is delivered" in text
    assert "--average 1 delivers one" in text
    effect = {"value": 0.0123, "interval": (0.004, 0.02), "p_value": 0.01, "n": 10}
    members = [
        {"name": n, "recipe": "", "share": 0.5, "effect": None} for n in ("lightgbm", "linear")
    ]
    blend = {"version": 1, "delivered": True, "members": members}
    cost["single"] |= {"effect": effect}
    text = Page(render(make(cost=cost, parts={"ensemble": blend}))).text
    assert "The blend is better by +0.0123 (95% interval" in text
    assert "--average 1 --ensemble none delivers one" in text


def test_hostile_text_stays_text(make: Callable[..., Report]) -> None:
    plain = make()
    summary = plain.summary.model_dump(by_alias=True)
    for technique in summary["techniques"]:
        technique |= {"name": HOSTILE, "stage": HOSTILE, "reason": HOSTILE, "instead_of": HOSTILE}
        technique["settings"] = {HOSTILE: HOSTILE}
    for finding in summary["findings"]:
        finding |= {"rule": HOSTILE, "evidence": HOSTILE, "suggests": [HOSTILE]}
    for key in ("name", "source", "target", "model"):
        summary["task"][key] = HOSTILE
    summary["task"]["notes"] = summary["task"]["inputs"] = [HOSTILE]
    summary["gain"]["statement"] = summary["metric"] = summary["command"] = HOSTILE
    summary["versions"] = summary["hardware"] = {HOSTILE: HOSTILE, "pawl": HOSTILE}
    report = Report(
        summary=type(plain.summary).model_validate(summary),
        trials=tuple(dataclasses.replace(trial, recipe=HOSTILE) for trial in plain.trials),
        curves=plain.curves,
        recipe_toml=HOSTILE,
    )
    html = render(report)
    page = Page(html)
    assert "<script" not in html.lower()
    assert "<img" not in html.lower()
    assert "\x00" not in html
    assert "{{ 7 * 7 }}" in page.text
    known = {tag for tag, _ in Page(render(plain)).elements}
    assert {tag for tag, _ in page.elements} <= known


def test_many_trials_stay_light(make: Callable[..., Report]) -> None:
    trials = tuple(
        TrialPoint(
            number=i,
            generation=0,
            status="completed",
            score=0.5 + i * 1e-5 - (1e9 if i == 7 else 0),
            steps=10,
            recipe="depth 2",
            seconds=float(i),
        )
        for i in range(8000)
    )
    html = render(make(trials=trials))
    assert len(html) < 1_500_000
    text = Page(html).text
    assert "The best 300 of 8,000" in text
    assert "1 score beyond the axis" in text


def test_same_report_same_page(cases: dict[str, Report], pages: dict[str, str]) -> None:
    assert render(cases["proven"]) == pages["proven"]


def test_schema_file_is_the_generated_one(cases: dict[str, Report]) -> None:
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    assert text == json_schema()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    for report in cases.values():
        written = json.loads(report.summary.to_json())
        assert written["schema"] == 1
        jsonschema.Draft202012Validator(schema).validate(written)


def test_public_face_and_light_import() -> None:
    for name in pawl.report.__all__:
        assert getattr(pawl.report, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = pawl.report.nothing  # type: ignore[attr-defined]
    code = (
        "import sys; from pawl.report import Report, Summary, render; "
        "print({'altair', 'vl_convert', 'jinja2', 'pandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
