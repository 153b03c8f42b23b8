"""Settings of the research tests: those of all tests."""

import tests.conftest  # noqa: F401
