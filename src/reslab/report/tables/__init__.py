"""Tables to read and to compute with."""
