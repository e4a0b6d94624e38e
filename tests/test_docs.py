"""Documentation that is generated or executed stays true."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import pawl
from pawl.cli.entry import app
from pawl.listing import markdown
from pawl.report.parts import Part

ROOT = Path(__file__).parent.parent


def test_the_page_of_techniques_is_generated_from_the_records() -> None:
    page = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")
    assert page == markdown(), "run: python -m pawl.listing > docs/techniques.md"


def test_the_picture_of_schedules_is_drawn_from_their_functions() -> None:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "scripts" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    picture = (ROOT / "docs" / "schedules.svg").read_text(encoding="utf-8")
    assert picture == draw.schedules(), "run: python scripts/draw.py"


def test_what_a_benchmark_left_is_json_alone() -> None:
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert results
    for path in results:
        assert json.loads(path.read_text(encoding="utf-8")), path.name


def test_every_name_of_the_public_face_is_there() -> None:
    for name in pawl.__all__:
        assert getattr(pawl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pawl.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_options_and_links_of_a_page_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    known = {"--help"}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        known.update(option for parameter in command.params for option in parameter.opts)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named - known == set()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pawl import pacing

    monkeypatch.setattr(pacing.sizes, "_STEPS", 20)
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    inputs, targets = [[0.0]], [0]
    names = {"inputs": inputs, "targets": targets, "MyModule": object, "my_metric": len}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["predictions"]) == 569


def test_the_examples_for_contributors_are_whole() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    technique, section = (block for block in blocks if block.startswith('"""'))
    (file,) = re.findall(r"A whole one, in `(.*?)`", text)
    assert technique == (ROOT / file).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(section, "CONTRIBUTING.md", "exec"), names)
    part = names["PART"]
    assert isinstance(part, Part)
    shown = part.section(part.content(trained=1200), None)  # type: ignore[arg-type]
    assert shown is not None
    assert shown.lead == "1,200 models were trained."
