"""Training of the demo model, from pictures that a program draws: generator, encoder, hypernetwork. Needs PyTorch."""
