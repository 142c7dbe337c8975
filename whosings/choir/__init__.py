"""Generated singers, their band and their songs, from seeds."""
