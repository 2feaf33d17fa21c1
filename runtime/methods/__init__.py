"""The inversion methods, a small class each, and the loop that runs them all."""
