"""Contrastive training: positive pairs, NT-Xent, the schedule."""
