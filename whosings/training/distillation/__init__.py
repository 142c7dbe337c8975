"""Training the encoders that ship: a teacher hears voices alone, a student hears them over bands."""
