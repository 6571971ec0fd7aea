"""Figures of a study, drawn by matplotlib."""
