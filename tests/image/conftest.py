"""Figures are printed when all tests have run."""

import pytest

FIGURES = []


@pytest.fixture
def figure():
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)
