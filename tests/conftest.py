"""What holds for every test."""

pytest_plugins = ["tests.support.hanging", "tests.support.unit"]
