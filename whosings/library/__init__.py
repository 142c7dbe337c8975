"""A collection that was listened to once."""
