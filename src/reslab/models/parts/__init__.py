"""Parts that the families share."""
