"""The published networks, tensor for tensor: names and arithmetic of the papers' own code, and the reference for every rewrite."""
