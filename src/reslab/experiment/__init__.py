"""Data, model and training put together: one experiment of a study."""
