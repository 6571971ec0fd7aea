"""Statistics, tables and plots, from files; no torch."""
