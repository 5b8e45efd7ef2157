"""The beat of most tests here, and the clock that it goes by."""

from __future__ import annotations

import pytest

from .harness import Beat, TestClock


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def beat(clock: TestClock) -> Beat:
    return Beat(clock)
