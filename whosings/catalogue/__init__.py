"""Tracks, singers and segments as tables."""
