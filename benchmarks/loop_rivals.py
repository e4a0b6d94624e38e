"""Lightning and skorch on the work of `loop.py`: their usual way, and with tensor batches."""

from __future__ import annotations

import importlib.metadata
import logging
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
import skorch
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from loop import DECAY, EVALUATION_ROWS, PATIENCE, RATE, Contestant, Trained, Work
from skorch.callbacks import EarlyStopping as SkorchStopping
from skorch.dataset import unpack_data
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset

Pair = tuple[Tensor, Tensor]


class Order(Sampler[int]):
    """A shuffle whose order is the work's, so that all contestants see the same batches."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.epoch = -1

    def __len__(self) -> int:
        return len(self.work.train)

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        # The datasets hold the training rows only, in their order, from 0.
        return iter(self.work.order(self.epoch).tolist())


class TensorBatches:
    """A loader that indexes whole batches, as a hand-written loop does."""

    def __init__(self, x: Tensor, y: Tensor, size: int, order: Order | None = None) -> None:
        self.x, self.y, self.size, self.order = x, y, size, order

    def __len__(self) -> int:
        count = len(self.x)
        return count // self.size if self.order else -(-count // self.size)

    def __iter__(self) -> Iterator[Pair]:
        rows = torch.arange(len(self.x))
        if self.order:
            self.order.epoch += 1
            rows = self.order.work.order(self.order.epoch)
        for k in range(len(self)):
            batch = rows[k * self.size : (k + 1) * self.size]
            yield self.x[batch], self.y[batch]


class Module(lightning.LightningModule):
    """The usual module: a loss in each training step, an accuracy over the validation rows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.losses: list[Tensor] = []
        self.curve: list[tuple[float, float]] = []

    def training_step(self, batch: Pair, _: int) -> Tensor:
        """Returns a batch's loss."""
        x, y = batch
        loss = F.cross_entropy(self.model(x), y)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Pair, _: int) -> None:
        """Logs a batch's accuracy."""
        x, y = batch
        hits = (self.model(x).softmax(1).argmax(1) == y).float().mean()
        self.log("score", hits, batch_size=len(y))

    def on_train_epoch_end(self) -> None:
        """Notes the epoch, validation included."""
        score = float(self.trainer.callback_metrics["score"])
        self.curve.append((float(torch.stack(self.losses).mean()), score))
        self.losses.clear()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return torch.optim.AdamW(self.model.parameters(), lr=RATE, weight_decay=DECAY)


def _lightning(work: Work, *, batches: bool) -> Trained:
    x, y = work.standardized(), work.targets
    train, valid = (x[work.train], y[work.train]), (x[work.valid], y[work.valid])
    order = Order(work)
    if batches:
        loaders: tuple[Any, Any] = (
            TensorBatches(*train, work.batch, order),
            TensorBatches(*valid, EVALUATION_ROWS),
        )
    else:
        loaders = (
            DataLoader(TensorDataset(*train), work.batch, sampler=order, drop_last=True),
            DataLoader(TensorDataset(*valid), EVALUATION_ROWS),
        )
    module = Module(work.fresh_model())
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        keep = ModelCheckpoint(folder, monitor="score", mode="max", save_weights_only=True)
        trainer = lightning.Trainer(
            max_epochs=work.epochs, accelerator="cpu", logger=False, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            callbacks=[keep, EarlyStopping("score", patience=PATIENCE, mode="max")],
        )  # fmt: skip
        trainer.fit(module, *loaders)
        module.load_state_dict(torch.load(keep.best_model_path)["state_dict"])
    losses, scores = zip(*module.curve, strict=True)
    return Trained(list(losses), list(scores))


class Batched:
    """`TensorBatches` as skorch makes an iterator: from a dataset and options."""

    def __init__(self, dataset: Any, batch_size: int, order: Order | None = None) -> None:
        x, y = unpack_data(dataset.tensors if isinstance(dataset, TensorDataset) else dataset[:])
        self.batches = TensorBatches(x, y, batch_size, order)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.batches)


def _skorch(work: Work, *, batches: bool) -> Trained:
    x, y = work.standardized(), work.targets
    train = TensorDataset(x[work.train], y[work.train])
    valid = TensorDataset(x[work.valid], y[work.valid])
    order = Order(work)
    options: dict[str, Any] = {"iterator_train__drop_last": True, "iterator_train__sampler": order}
    if batches:
        options = {
            "iterator_train": Batched, "iterator_valid": Batched, "iterator_train__order": order
        }  # fmt: skip
    net = skorch.NeuralNetClassifier(
        work.fresh_model(), criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW,
        optimizer__weight_decay=DECAY, lr=RATE, max_epochs=work.epochs,
        train_split=predefined_split(valid), verbose=0, classes=np.arange(10),
        iterator_train__batch_size=work.batch, iterator_valid__batch_size=EVALUATION_ROWS,
        callbacks=[SkorchStopping("valid_acc", patience=PATIENCE, lower_is_better=False,
                                  load_best=True, sink=lambda _: None)],
        **options,
    )  # fmt: skip
    net.fit(train, y=None)
    return Trained(net.history[:, "train_loss"], net.history[:, "valid_acc"])


def versions() -> dict[str, str]:
    """Returns the versions of the two."""
    return {name: importlib.metadata.version(name) for name in ("lightning", "skorch")}


CONTESTANTS: dict[str, Contestant] = {
    "lightning": lambda work: _lightning(work, batches=False),
    "lightning, tensor batches": lambda work: _lightning(work, batches=True),
    "skorch": lambda work: _skorch(work, batches=False),
    "skorch, tensor batches": lambda work: _skorch(work, batches=True),
}
