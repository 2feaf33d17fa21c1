"""The published networks, tensor for tensor: names and arithmetic of the papers, the reference for every rewrite."""
