"""How the demo model is trained, from pictures that a program draws: generator, encoders, hypernetwork. Needs PyTorch."""
