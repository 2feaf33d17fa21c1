"""Engines of a bundle, as files: what each was built from and for, whose it is, and whether it may be loaded here."""
