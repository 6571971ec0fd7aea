"""Datasets, from their source to normalised batches."""
