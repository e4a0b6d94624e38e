"""Writes the page on growing trained networks from what `growing.py` has printed.

python benchmarks/growing_page.py > docs/growing.md
"""

from __future__ import annotations

from pages import page


def gain(interval: list[float]) -> str:
    """Returns a mean gain with its interval, bold where it is on one side of 0.

    >>> gain([0.01, -0.02, 0.04]), gain([0.01, 0.005, 0.015])
    ('+0.0100 (-0.0200 to +0.0400)', '**+0.0100** (+0.0050 to +0.0150)')
    """
    mean, low, high = interval
    mark = "**" if low > 0 or high < 0 else ""
    return f"{mark}{mean:+.4f}{mark} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    print(page("growing", trim_blocks=True, gain=gain), end="")
