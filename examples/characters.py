"""A language model of your own: a small transformer that predicts the next character of film reviews.

    pawl optimize examples/characters.py --budget 10m --out characters
    python examples/characters.py passages.npz
    pawl predict characters passages.npz --out predicted.npz

Rows are one passage of each review: two passages of the same review would not be independent, and the
interval of the perplexity is over rows. The file of reviews is `../shared/data/movie-reviews.csv`, or
what the variable REVIEWS names: a table with a column `text`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pawl

REVIEWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "movie-reviews.csv"
ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-/&*"
LENGTH, WIDTH, HEADS = 64, 64, 4


class Block(nn.Module):
    """Causal attention and a perceptron, each with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, HEADS, -1)).transpose(1, 3).unbind(2)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(attended.transpose(1, 2).flatten(-2))
        return x + self.perceptron(self.between(x))


class Characters(nn.Module):
    """Two blocks over embedded characters and places."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.Sequential(Block(), Block(), nn.LayerNorm(WIDTH))
        self.head = nn.Linear(WIDTH, len(ALPHABET))

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(self.blocks(self.characters(codes) + self.places))


def passages() -> np.ndarray:
    """Returns one passage of each review as codes, `[reviews, LENGTH + 1]`; 0 is what is unknown."""
    texts = pd.read_csv(os.environ.get("REVIEWS", REVIEWS))["text"]
    code = {letter: place for place, letter in enumerate(ALPHABET)}
    middles = [" ".join(text.lower().split())[500 : 501 + LENGTH] for text in texts]
    return np.array(
        [[code.get(letter, 0) for letter in text] for text in middles if len(text) == LENGTH + 1]
    )


def task() -> pawl.Task:
    """Returns the task: each character from those before it."""
    codes = passages()
    return pawl.Task(
        data=(codes[:, :-1], codes[:, 1:]), model=Characters, name="characters of film reviews"
    )


if __name__ == "__main__":
    codes = passages()
    np.savez(sys.argv[1], x=codes[:, :-1], target=codes[:, 1:])
