"""Checkpoint folders as Trainer, TRL and LLaMA-Factory write them: fingerprint, moments by name, a loaded model."""

from gradstore.checkpoint.folder import CheckpointFolder, find_checkpoints
from gradstore.checkpoint.load import LoadedModel, load_model, load_tokenizer
from gradstore.checkpoint.optimizer import Moments, load_moments

__all__ = [
    "CheckpointFolder",
    "LoadedModel",
    "Moments",
    "find_checkpoints",
    "load_model",
    "load_moments",
    "load_tokenizer",
]
