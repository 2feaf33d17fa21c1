"""Bundles in NVIDIA's Triton Inference Server: a model repository, and the model of its Python backend."""
