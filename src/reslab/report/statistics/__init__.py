"""Statistics over seeds, and tests."""
