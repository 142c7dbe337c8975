"""Audio Spectrogram Transformer: small as in the paper (section 4.1), and smaller ones.

A ViT over non-overlapping square patches of the log-mel spectrogram, class token, learned positions, pre-norm blocks,
then Linear + GELU on the class token. Attention runs through PyTorch's fused kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whosings.config import FrontEndConfig, TransformerConfig

_LOG_MEL_MEAN, _LOG_MEL_STD = -5.0, 5.0  # of peak-normalised music; the patch projection could absorb them


class SpectrogramTransformer(nn.Module):
    """Log-mel (batch, channels, mel_bins, frames) -> embeddings (batch, config.embedding)."""

    def __init__(self, config: TransformerConfig, front_end: FrontEndConfig) -> None:
        super().__init__()
        self.patches = nn.Conv2d(front_end.channels, config.width, kernel_size=config.patch, stride=config.patch)
        count = (front_end.mel_bins // config.patch) * (front_end.frames // config.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.zeros(1, count + 1, config.width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d_model=config.width,
                nhead=config.heads,
                dim_feedforward=round(config.width * config.mlp_ratio),
                dropout=0.0,
                activation="gelu",
                layer_norm_eps=1e-6,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Sequential(nn.Linear(config.width, config.embedding), nn.GELU())
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """See the class."""
        scaled = (spectrograms - _LOG_MEL_MEAN) / _LOG_MEL_STD
        tokens = self.patches(scaled).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        embeddings: Tensor = self.head(self.norm(tokens[:, 0]))
        return embeddings
