"""Rows that are copies of others: of those in the test part, what is learned is remembered.

Shape legend: `R` rows, `W` words of 8 bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.data.types import Examples, LoadedData

_WORD = 8
_CHUNK_BYTES = 1 << 18
_LEAST_SHARE = 0.01
_SHIFT = np.uint64(29)


def notes_on_copies(data: LoadedData) -> list[str]:
    """Returns a note where a hundredth of the rows or more have the inputs of another row.

    For what makes no diagnosis, which finds the same and more.
    """
    development, test = data.development, data.test
    mine, apart = row_hashes(development), row_hashes(test)
    every = np.concatenate([mine, apart])
    copies = len(every) - len(np.unique(every))
    if copies < _LEAST_SHARE * len(every):
        return []
    seen = int(np.isin(apart, mine).sum())
    return [
        f"{copies:,} of {len(every):,} rows ({copies / len(every):.0%}) have the inputs of another row, "
        f"and {seen:,} of {len(apart):,} test rows those of a row that trains: scores on rows that are "
        "new may be worse; the option group keeps rows together"
    ]


def row_hashes(examples: Examples) -> NDArray[np.uint64]:
    """Returns a number for each row by its inputs, `[R]`: equal rows have equal ones.

    A sum of mixed words, each times an odd number of its own, modulo 2^64.
    """
    found = np.zeros(len(examples), dtype=np.uint64)
    for place, tensor in enumerate(examples.inputs.values()):
        random = np.random.default_rng(place)
        flat = tensor.detach().cpu().reshape(len(examples), -1).contiguous()
        size = flat.shape[1] * flat.element_size()
        words = -(-size // _WORD)
        factors = random.integers(0, 1 << 63, size=words, dtype=np.uint64) * np.uint64(2)
        factors += np.uint64(1)
        step = max(1, _CHUNK_BYTES // max(1, _WORD * words))
        for start in range(0, len(flat), step):
            rows = flat[start : start + step].view(torch.uint8).numpy()
            padded = np.zeros((len(rows), words * _WORD), dtype=np.uint8)
            padded[:, :size] = rows
            mixed = padded.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> _SHIFT
            found[start : start + step] += (mixed * factors).sum(1, dtype=np.uint64)
    return found
