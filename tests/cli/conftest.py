"""Fixtures of all tests of the command line."""

import pytest


@pytest.fixture(autouse=True)
def _called_by_command(from_command_line: None) -> None:
    """What commands call is called here as by them: messages name options."""
