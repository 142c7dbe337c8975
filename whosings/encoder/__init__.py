"""Encoders: log-mel spectrograms to embeddings; the projector; checkpoints."""
