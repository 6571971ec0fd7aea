"""Bricks that the families share."""
