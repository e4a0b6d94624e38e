"""One small campaign, run once, that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from campaigns import optimize
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from terminal import STEPS

from pawl import Result, pacing


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing.sizes, "_STEPS", STEPS)
        yield


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Rows to develop on and rows to test on, as CSV files."""
    folder = tmp_path_factory.mktemp("data")
    cancer = load_breast_cancer()
    table = pd.DataFrame(cancer.data, columns=cancer.feature_names)
    table["diagnosis"] = cancer.target_names[cancer.target]
    parts = train_test_split(table, test_size=150, random_state=4, stratify=table["diagnosis"])
    paths = folder / "cancer.csv", folder / "cancer test.csv"
    for path, part in zip(paths, parts, strict=True):
        part.to_csv(path, index=False)
    return paths


@pytest.fixture(scope="session")
def done(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing.sizes, "_STEPS", STEPS)
        return optimize(files, tmp_path_factory.mktemp("campaign") / "out")
