"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lengths import longest_first


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keeps pytest-xdist, where it is there, from an order of its own."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives processes that share the files the longest first."""
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the timings that a test run remembers apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAWL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
