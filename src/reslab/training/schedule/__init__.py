"""Learning rate schedules and warm-ups."""
