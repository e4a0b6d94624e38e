"""Writes the page on surgery from what `surgery.py` has printed.

python benchmarks/surgery_page.py > docs/surgery.md
"""

from __future__ import annotations

from pages import page

if __name__ == "__main__":
    print(page("surgery", percent=lambda share: f"{100 * share:.0f}%"), end="")
