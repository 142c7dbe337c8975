"""Training of encoders: contrastive, as in the paper, and by distillation, as those that ship."""
