"""Gradients of losses as ordinary graphs: traced forward and backward, checked against float64 autograd."""
