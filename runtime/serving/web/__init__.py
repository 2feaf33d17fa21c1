"""The page without a server: a folder of files in which a bundle runs on the visitor's machine."""
