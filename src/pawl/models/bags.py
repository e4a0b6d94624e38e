"""Texts as what their tokens count, for what learns in one go.

Shape legend: `B` rows, `R` rows that are fitted on, `T` token ids of a row, `V` token ids there are, `K`
latent components.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor, nn

_RESERVED = 2  # padding, and what is hidden
_COMPONENTS, _ROWS_PER_COMPONENT = 32, 4


class TokenBag(nn.Module):
    """Weighs tokens by how often a row has them and how few rows do (TF-IDF); `[B, T]` to `[B, V]`.

    `x_v = (1 + log n_v) (1 + log((1 + R) / (1 + R_v)))` where `n_v > 0`, each row of length 1;
    `R_v` rows have `v`. With `latent`, what the first `K` singular vectors of that say, `[B, K]`.

    Salton and Buckley, Term-Weighting Approaches in Automatic Text Retrieval, 1988; Deerwester et al.,
    Indexing by Latent Semantic Analysis, 1990.

    Args:
        tokens: `V`.
        latent: Whether singular vectors are taken.

    Attributes:
        rarity: What a token's count is multiplied by, `[V]`; 0 for those that are no tokens.
        basis: Singular vectors, `[V, K]`; empty without `latent`.
    """

    rarity: Tensor
    basis: Tensor

    def __init__(self, tokens: int, *, latent: bool) -> None:
        super().__init__()
        self.tokens, self.latent = tokens, latent
        self.register_buffer("rarity", torch.zeros(tokens))
        self.register_buffer("basis", torch.zeros(tokens if latent else 0, 1))

    def fit(self, ids: Tensor) -> None:
        """Counts rows by token, and finds the singular vectors.

        Args:
            ids: `[R, T]`.
        """
        ones = self._counts(ids)
        ones.data[:] = 1.0
        rows = torch.from_numpy(np.asarray(ones.sum(0)).ravel()).double()
        rarity = ((1.0 + len(ids)) / (1.0 + rows)).log() + 1.0
        rarity[:_RESERVED] = 0.0
        self.rarity = rarity.float()
        if self.latent:
            from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415  (slow to import)

            most = min(_COMPONENTS, len(ids) // _ROWS_PER_COMPONENT, self.tokens - 1)
            found = TruncatedSVD(max(1, most), random_state=0).fit(self.weighed(ids))
            self.basis = torch.from_numpy(found.components_.T.copy()).float()

    def weighed(self, ids: Tensor) -> scipy.sparse.csr_matrix:
        """Returns what `forward` does without singular vectors, as a sparse matrix `[R, V]`, float64."""
        counts = self._counts(ids)
        counts.data = 1.0 + np.log(counts.data)
        found = counts.multiply(self.rarity.double().numpy()).tocsr()
        lengths = np.sqrt(np.asarray(found.multiply(found).sum(1)).ravel())
        return scipy.sparse.diags(1.0 / np.where(lengths > 0, lengths, 1.0)).dot(found).tocsr()

    def _counts(self, ids: Tensor) -> scipy.sparse.csr_matrix:
        count, length = ids.shape
        places = np.repeat(np.arange(count), length), ids.numpy().ravel()
        shape = (count, self.tokens)
        found = scipy.sparse.csr_matrix((np.ones(count * length), places), shape=shape)
        found.sum_duplicates()
        return found

    def forward(self, ids: Tensor) -> Tensor:
        """Weighs. In double, so that thresholds of trees on it say the same wherever it is computed."""
        empty = torch.zeros(ids.shape[0], self.tokens, dtype=torch.float64, device=ids.device)
        counts = empty.scatter_add(1, ids, torch.ones_like(ids, dtype=torch.float64))
        often = torch.where(counts > 0, 1.0 + counts.clamp_min(1.0).log(), 0.0)
        found = often * self.rarity.double()
        found = found / found.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        return (found @ self.basis.double() if self.latent else found).float()
