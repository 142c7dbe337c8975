"""Data sets that researchers have: what they are, how their folders are read, and whether a copy is whole."""
