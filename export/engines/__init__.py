"""Engines from a bundle's graphs, with TensorRT or TensorRT-RTX. Needs no PyTorch."""
