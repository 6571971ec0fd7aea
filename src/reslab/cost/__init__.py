"""The cost of a run on a machine: estimates from measured speeds."""
