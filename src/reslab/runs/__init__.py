"""Runs on disk and under way: folders, records, identity, processes."""
