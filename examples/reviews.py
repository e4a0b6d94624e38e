"""Rows of unlike lengths, and a model that returns a dict: is a film review positive?

    pawl optimize examples/reviews.py --budget 3m --out reviews

Each review is a row of word codes as long as it is; pawl pads them and tells by a mask what is there.
The file is `../shared/data/movie-reviews.csv`, or what the variable REVIEWS names: columns `text` and
`label`.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import pawl

REVIEWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "movie-reviews.csv"
WORDS, WIDTH, LONGEST = 4096, 24, 300


class Words(nn.Module):
    """The mean of what its words are worth, and of each word's say."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.say = nn.Embedding(WORDS, WIDTH), nn.Embedding(WORDS, 1)
        self.head = nn.Sequential(
            nn.Linear(WIDTH, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)
        )

    def forward(self, words: Tensor, words_mask: Tensor) -> dict[str, Tensor]:
        weight = torch.softmax(
            self.say(words).squeeze(-1).masked_fill(words_mask == 0, -torch.inf), dim=-1
        )
        pooled = (weight.unsqueeze(-1) * self.words(words)).sum(-2)
        return {"weight": weight, "logits": self.head(pooled)}


def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Cross-entropy, and a little for saying all by one word."""
    return (
        nn.functional.cross_entropy(outputs["logits"], targets)
        + 0.01 * outputs["weight"].square().sum(-1).mean()
    )


def task() -> pawl.Task:
    """Returns the task."""
    table = pd.read_csv(os.environ.get("REVIEWS", REVIEWS))
    words = [
        np.array([1 + zlib.crc32(w.encode()) % (WORDS - 1) for w in text.split()[:LONGEST]])
        for text in table["text"]
    ]
    return pawl.Task(
        data=({"words": words}, table["label"].to_numpy()), model=Words, loss=loss, name="reviews"
    )
