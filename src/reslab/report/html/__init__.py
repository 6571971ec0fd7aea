"""The study as one HTML page that needs nothing but itself and the records beside it."""
