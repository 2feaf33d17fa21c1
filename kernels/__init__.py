"""The modulation of weights: the arithmetic that a GPU runs as one kernel, and its plain reference."""
