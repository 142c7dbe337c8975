"""Where in a track somebody sings."""
