"""reslab: a laboratory for residual networks."""
