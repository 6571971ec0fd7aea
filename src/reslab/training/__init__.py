"""The loop and what it needs: optimizers, schedules, losses, checkpoints."""
