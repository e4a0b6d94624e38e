"""How long files of tests take, so that two processes that share them end together.

A process is given a file at a time. The longest come first; what is left for the end is then short. By
itself pytest-xdist begins with the files of most tests, and a whole campaign is one test.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

SECONDS = {
    "campaign/test_floors.py": 240, "campaign/test_campaign.py": 95, "cli/test_supervisor.py": 70,
    "campaign/test_places.py": 65, "cli/test_cli.py": 55, "campaign/test_campaign_of_blends.py": 55,
    "diagnosing/test_stories.py": 50, "campaign/test_recovery.py": 50, "campaign/test_full_disk.py": 45,
    "evidence/test_looks.py": 45, "execution/test_traveling.py": 35,
    "campaign/test_campaign_of_groups.py": 35, "test_docs.py": 30, "training/test_accumulation.py": 30,
    "serving/test_serving_browser.py": 30, "data/test_data_images.py": 30,
    "search/test_search_sampler.py": 25, "evidence/test_crossed.py": 20,
    "campaign/test_python_face.py": 20, "campaign/test_several_targets.py": 20,
    "compression/test_limits.py": 20, "ensembling/test_calibrating.py": 15,
    "campaign/test_campaign_of_windows.py": 15,
}  # fmt: skip
"""What the slowest tests of files with few tests took, once on two cores; what is not here is short."""
_A_TEST = 0.3
_HERE = Path(__file__).parent


def seconds(path: Path, tests: int) -> float:
    """Returns about how long a file with so many tests takes."""
    name = path.relative_to(_HERE).as_posix() if path.is_relative_to(_HERE) else ""
    return max(SECONDS.get(name, 0.0), _A_TEST * tests)


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Returns tests with those of the longest files in front; within a file they stay in order."""
    counts = Counter(item.path for item in items)
    return sorted(items, key=lambda item: -seconds(item.path, counts[item.path]))
