"""Stored predictions of networks, and their scores."""

from reslab.report.predictions.file import Predictions, load, save

__all__ = ["Predictions", "load", "save"]
