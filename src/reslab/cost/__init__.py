"""What a run costs on a machine: estimates from measured speeds."""
