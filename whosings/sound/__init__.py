"""Sound made and changed: the vocoder, studio effects, keys of bands."""
