"""Measuring: what is compared, in which order, by which clocks, and what is said about it."""
