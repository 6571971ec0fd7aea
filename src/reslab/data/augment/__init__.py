"""Augmentations and mixings: pure functions of a batch and its random numbers."""
