"""Batches of an epoch, wherever the images are."""
