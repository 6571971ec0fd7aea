"""How a step is executed: levels from eager to one CUDA graph."""
