"""Which adapters can be read exactly, told from their configuration before anything is loaded.

What is attributed are the weights of lora_A and lora_B, two linear layers. A variant is refused where these are not
all there is between input and output, or where peft cannot restore the base model that the adapter was trained on.

Initialisations that change the base model (PiSSA, OLoRA, LoftQ, CorDA, LoRA-GA) leave a residual base, which peft
computes anew when it loads the adapter. For PiSSA and OLoRA this is exact: an SVD or QR of the same weights. The
others depend on random numbers or on data that the checkpoint does not hold, so that the model would be another one
(``pissa_niter_4`` on a small model: logits off by a quarter of their size).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradstore.errors import CheckpointError

__all__ = ["check_variant"]

SUPPORTED = "supported are LoRA and rsLoRA, also with PiSSA or OLoRA initialisation"
VARIANTS = {
    "use_dora": "a DoRA adapter (its lora_magnitude_vector scales the base weights too)",
    "alora_invocation_tokens": "an aLoRA adapter (active on some tokens only)",
    "use_qalora": "a QALoRA adapter (it pools its inputs)",
    "use_bdlora": "a BD-LoRA adapter (block-diagonal matrices)",
    "arrow_config": "an Arrow mixture of adapters",
    "kasa_config": "a KaSA adapter (singular values between lora_A and lora_B)",
    "monteclora_config": "a MonteCLoRA adapter (random at every pass)",
    "velora_config": "a VeLoRA adapter (approximate backward pass)",
    "target_parameters": "LoRA on fused parameters (target_parameters, such as MoE experts)",
    "layer_replication": "LoRA on replicated layers (layer_replication)",
    "megatron_config": "a Megatron adapter",
}
EXACT_INITIALISATIONS = ("gaussian", "eva", "orthogonal", "pissa", "olora")
CHANGES_BASE = {
    "loftq": "LoftQ",
    "corda": "CorDA",
    "lora_ga": "LoRA-GA",
    "pissa_niter": "PiSSA by a randomised SVD",
}


def check_variant(lora: Mapping[str, Any], where: str) -> None:
    """Refuse, by name, what cannot be attributed or restored.

    Raises
    ------
    CheckpointError
        The message says what the adapter is and what is supported.
    """
    for option, words in VARIANTS.items():
        if lora.get(option):
            raise CheckpointError(f"{where}: {words}; {SUPPORTED}")
    start = lora.get("init_lora_weights", True)
    if isinstance(start, bool) or start in EXACT_INITIALISATIONS:
        return
    if start == "mica":
        raise CheckpointError(f"{where}: a MiCA adapter (its lora_B is frozen); {SUPPORTED}")
    for prefix, words in CHANGES_BASE.items():
        if str(start).startswith(prefix):
            raise CheckpointError(
                f"{where}: initialised by {words}, which changed the base model in a way that the checkpoint does not"
                " record; save it as plain LoRA (peft's save_pretrained with path_initial_model_for_weight_conversion),"
                " or save the changed base model and the adapter with init_lora_weights=true"
            )
    raise CheckpointError(
        f"{where}: initialised by {start!r}, which is not known to load exactly; {SUPPORTED}"
    )
