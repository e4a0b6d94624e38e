"""Holds the import rule: data flows down the list of rooms, and imports only point up it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "pawl"
ROOMS = (
    "errors",
    "processes",
    "rng",
    "budget",
    "cgroups",
    "cores",
    "environment",
    "options",
    "kinds",
    "task",
    "fingerprint",
    "data",
    "models",
    "techniques",
    "recipe",
    "modalities",
    "transfer",
    "ledger",
    "training",
    "needs",
    "listing",
    "execution",
    "search",
    "evidence",
    "ensembling",
    "pacing",
    "diagnosing",
    "searching",
    "deployment",
    "compression",
    "report",
    "explaining",
    "delivery",
    "campaign",
    "single",
    "finding",
    "progress",
    "doctor",
    "supervisor",
    "serving",
    "following",
    "loops",
    "functions",
    "result",
    "api",
    "estimators",
    "cli",
)


def imported(path: Path) -> list[tuple[int, str]]:
    """Returns line and room of each import of pawl in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "pawl":
                names = [f"pawl.{alias.name}" for alias in node.names]
        found += [(node.lineno, n.split(".")[1]) for n in names if n.startswith("pawl.")]
    return found


def main() -> int:
    """Prints every import that points down; returns their number, capped at 1."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        if room not in ROOMS:
            wrong.append(
                f"{relative}: room {room!r} is not in the list of scripts/check_imports.py"
            )
            continue
        for line, other in imported(path):
            if other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                wrong.append(f"{relative}:{line}: {room} imports {other}, which comes after it")
    print("\n".join(wrong) or "imports point one way")
    return min(1, len(wrong))


if __name__ == "__main__":
    sys.exit(main())
