"""What stored networks answer, and what follows from it."""

from reslab.report.predictions.file import Predictions, load, save

__all__ = ["Predictions", "load", "save"]
