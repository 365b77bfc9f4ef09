"""Tests marked `gpu` are skipped only where there is no card; `test_no_gpu_test_was_left_out`, run last, sees to it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small nets on two busy cores wait for threads, not work

import pytest

from tests.engines.gpu import REASON

GUARD = "test_no_gpu_test_was_left_out"
WANTED = pytest.StashKey[set[str]]()
RAN = pytest.StashKey[set[str]]()


@pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip them without a card; note which there are; put the guard last."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    config.stash[WANTED], config.stash[RAN] = {item.nodeid for item in marked}, set()
    if REASON:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {REASON}"))
    items.sort(key=lambda item: item.name == GUARD)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Note which of them really ran, well or not."""
    report = yield
    if item.get_closest_marker("gpu") and not report.skipped and (call.when == "call" or report.failed):
        item.config.stash[RAN].add(item.nodeid)
    return report


@pytest.fixture
def gpu_tests_left_out(request: pytest.FixtureRequest) -> set[str]:
    """Return the collected GPU tests that did not run."""
    return request.config.stash[WANTED] - request.config.stash[RAN]
