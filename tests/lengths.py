"""How long files of tests take, so that two processes that share them end together.

A process is given a file at a time. The longest come first; what is left for the end is then short. By
itself pytest-xdist begins with the files of most tests, and a whole campaign is one test.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

SECONDS = {
    "compression/test_compress.py": 110, "campaign/test_campaign.py": 85,
    "techniques/test_conformance.py": 85, "campaign/test_campaign_of_blends.py": 85,
    "deployment/test_deployment_rebuilding.py": 75, "techniques/test_learners.py": 75,
    "cli/test_cli.py": 70, "campaign/test_full_disk.py": 70, "campaign/test_recovery.py": 65,
    "campaign/test_places.py": 60, "campaign/test_estimators.py": 55, "evidence/test_crossed.py": 55,
    "cli/test_supervisor.py": 50, "test_calls.py": 50, "compression/test_limits.py": 50,
    "serving/test_serving_browser.py": 40, "cli/test_whole_way.py": 40, "test_user_nets.py": 40,
    "diagnosing/test_stories.py": 40, "training/test_accumulation.py": 35,
    "search/test_search_sampler.py": 35, "campaign/test_several_targets.py": 35,
    "explaining/test_explain.py": 30, "techniques/test_learning_together.py": 30,
    "deployment/test_deployment_texts.py": 30, "execution/test_traveling.py": 30,
    "data/test_data_images.py": 30, "campaign/test_campaign_of_groups.py": 30,
    "ensembling/test_calibrating.py": 25, "test_devices.py": 25, "cli/test_bad_input.py": 25,
    "functions/test_tune.py": 25, "compression/test_pruning.py": 25,
    "campaign/test_campaign_of_windows.py": 20, "campaign/test_stopped.py": 20,
    "search/test_search_workers.py": 20, "test_docs.py": 20, "campaign/test_python_face.py": 20,
    "campaign/test_changed_code.py": 20, "techniques/test_learning.py": 20,
    "cli/test_interrupts.py": 20,
}  # fmt: skip
"""About what files took, once on two cores; what is not here is short."""
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
