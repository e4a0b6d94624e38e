"""A finished campaign, as Python sees it."""

from __future__ import annotations

import html
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawl.deployment import Bundle
from pawl.errors import LedgerError, first_line, go_on, option
from pawl.evidence import Arm, from_dict, lead
from pawl.functions import Tuned
from pawl.functions.face import load as load_tuned
from pawl.ledger import LEDGER_FILE, TRAINED
from pawl.recipe import Recipe
from pawl.report.assemble import render_folder
from pawl.report.summary import Summary


@dataclass(frozen=True)
class Result:
    """A finished campaign.

    Attributes:
        folder: The campaign's folder.
        summary: What `summary.json` holds.
    """

    folder: Path
    summary: Summary

    def render(self) -> None:
        """Writes the page anew, from the ledger.

        Raises:
            LedgerError: The ledger is missing or damaged.
        """
        render_folder(self.folder, self.summary)

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def arm(self) -> Arm:
        """What is delivered: one recipe, or a blend of several with their shares."""
        text = (self.folder / "recipe.toml").read_text(encoding="utf-8")
        return from_dict(tomllib.loads(text))

    @property
    def recipe(self) -> Recipe:
        """The final recipe; of a blend the one that says most, a network if there is one."""
        return lead(self.arm)

    def bundle(self) -> Bundle:
        """Opens the bundle."""
        return Bundle.open(self.folder / "bundle")

    def predict(self, source: Any) -> Any:
        """Returns predictions as a data frame; see `Bundle.predict`."""
        return self.bundle().predict(source)

    def __repr__(self) -> str:
        return f"{self.summary.gain.statement}\nReport: {self.report}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(t.name)}</td><td>{t.verdict}</td><td>{_shown(t.effect)}</td>"
            f"<td>{_interval(t.interval)}</td><td>{t.n}</td></tr>"
            for t in self.summary.techniques
        )
        return (
            f"<p>{html.escape(self.summary.gain.statement)}</p><table><thead><tr><th>technique</th>"
            "<th>verdict</th><th>effect</th><th>95% interval</th><th>pairs</th></tr></thead>"
            f"<tbody>{rows}</tbody></table><p><code>{html.escape(str(self.report))}</code></p>"
        )


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.3g}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:+.3g} to {interval[1]:+.3g}"


def load(folder: str | Path) -> Result | Tuned:
    """Opens the folder of a finished campaign: of `optimize`, or of `tune`.

    Raises:
        LedgerError: It holds none.
    """
    path = Path(folder)
    try:
        known = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if isinstance(known, dict) and known.get("what") == "function":
        return load_tuned(path)
    return load_result(path)


def load_result(folder: Path) -> Result:
    """Opens the folder of a finished campaign of `optimize`.

    Raises:
        LedgerError: It holds none.
    """
    try:
        text = (folder / "summary.json").read_text(encoding="utf-8")
        return Result(folder, Summary.model_validate_json(text))
    except OSError:
        begun = f"give the folder that {option('out')} named"
        if (folder / TRAINED).is_file():
            begun = f"it is a training's, whose result is in {TRAINED}"
        elif (folder / LEDGER_FILE).is_file():
            begun = f"finish it with {go_on(folder)}"
        raise LedgerError(
            f"{str(folder)!r} holds no finished campaign (no summary.json); {begun}"
        ) from None
    except ValueError as error:
        raise LedgerError(
            f"{str(folder / 'summary.json')!r} is damaged or of another version of pawl "
            f"({first_line(error)}); delete it and "
            f"write it anew with {go_on(folder)}"
        ) from None
