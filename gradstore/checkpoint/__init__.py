"""Checkpoint folders as Trainer, TRL and LLaMA-Factory write them: fingerprint, a loaded model, moments by name."""

from gradstore.checkpoint.folder import CheckpointFolder, find_checkpoints
from gradstore.checkpoint.fresh import InitLora
from gradstore.checkpoint.load import LoadedModel, load_model
from gradstore.checkpoint.optimizer import FactoredMoments, Moments, load_factored_moments, load_moments
from gradstore.checkpoint.tokenizer import load_tokenizer

__all__ = [
    "CheckpointFolder",
    "FactoredMoments",
    "InitLora",
    "LoadedModel",
    "Moments",
    "find_checkpoints",
    "load_factored_moments",
    "load_model",
    "load_moments",
    "load_tokenizer",
]
