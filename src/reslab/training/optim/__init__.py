"""Optimizers, their parameter groups and rates."""
