"""What depends on what the inputs are: tables, images, arrays, and modalities of users' own."""

from pawl.modalities.images import Images
from pawl.modalities.modality import Modality
from pawl.modalities.registry import modality_of, register_modality, unregister_modality
from pawl.modalities.sequences import Sequences, Texts, Windows
from pawl.modalities.vectors import Table, Tensors

__all__ = [
    "Images",
    "Modality",
    "Sequences",
    "Table",
    "Tensors",
    "Texts",
    "Windows",
    "modality_of",
    "register_modality",
    "unregister_modality",
]
