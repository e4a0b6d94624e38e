"""Writes the page on surgery from what `surgery.py` and `surgery_foreign.py` have printed.

python benchmarks/surgery_page.py > docs/surgery.md
"""

from __future__ import annotations

from pages import page

if __name__ == "__main__":
    beside = {"foreign": "surgery_foreign", "foreign_whole": "surgery_foreign_whole"}
    print(page("surgery", beside=beside, percent=lambda share: f"{100 * share:.0f}%"), end="")
