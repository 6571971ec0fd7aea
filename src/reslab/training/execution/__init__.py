"""How a step is executed: at a level from eager to one compiled CUDA graph, and what it runs on."""
