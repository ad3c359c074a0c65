"""Small random models of many architectures: (class in transformers, keys of its configuration)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Given to every configuration that has such a key, and none of its own below.
COMMON: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_local_experts": 2,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
_T5 = {"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
_LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "head_dim": None,
}
_HYBRID = ["mamba", "hybrid", "mamba", "hybrid"]

PLAIN = [
    "Llama",
    "Mistral",
    "Mixtral",
    "Qwen2",
    "Qwen3",
    "Qwen2Moe",
    "Qwen3Moe",
    "Gemma",
    "Gemma2",
    "Phi",
    "Phi3",
    "StableLm",
    "Olmo",
    "Olmo2",
    "Cohere",
    "Cohere2",
    "Granite",
    "GraniteMoe",
    "Starcoder2",
    "Persimmon",
    "Nemotron",
    "GPTNeoX",
    "SmolLM3",
    "Helium",
    "Glm",
    "Glm4",
    "Ernie4_5",
    "Arcee",
    "Exaone4",
    "SeedOss",
    "Olmoe",
    "Phimoe",
    "BioGpt",
    "GPTBigCode",
    "Ministral",
    "Apertus",
    "HunYuanDenseV1",
    "BitNet",
    "Bloom",
    "Mpt",
    "XGLM",
    "OPT",
]

ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{f"{name}ForCausalLM": {} for name in PLAIN},
    "GPT2LMHeadModel": {},
    "CTRLLMHeadModel": {},
    "OpenAIGPTLMHeadModel": {"n_positions": 32},
    "FalconForCausalLM": {"head_dim": None},
    "CodeGenForCausalLM": {"rotary_dim": 4},
    "GPTJForCausalLM": {"rotary_dim": 4},
    "GPTNeoForCausalLM": {"attention_types": [[["global", "local"], 1]]},
    "DeepseekV2ForCausalLM": _LATENT,
    "DeepseekV3ForCausalLM": {**_LATENT, "n_routed_experts": 4, "n_group": 1, "topk_group": 1},
    "JetMoeForCausalLM": {},
    "TrOCRForCausalLM": {},
    "BertLMHeadModel": {"is_decoder": True},
    "RobertaForCausalLM": {"is_decoder": True},
    "BartForConditionalGeneration": {},
    "MBartForConditionalGeneration": {},
    "PegasusForConditionalGeneration": {},
    "MarianMTModel": {},
    "WhisperForConditionalGeneration": {},
    "T5ForConditionalGeneration": _T5,
    "MT5ForConditionalGeneration": _T5,
    "UMT5ForConditionalGeneration": _T5,
    "GptOssForCausalLM": {"layer_types": ["sliding_attention", "full_attention"]},
}
"""All blocks have attention, which the model also returns when it is asked to."""

HYBRIDS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "Qwen3NextForCausalLM": (
        {
            "num_hidden_layers": 4,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        [4],
    ),
    "JambaForCausalLM": (
        {
            "num_hidden_layers": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
        [2, 4],
    ),
    "Lfm2ForCausalLM": (
        {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2},
        [2, 4],
    ),
    "BambaForCausalLM": ({"num_hidden_layers": 4, "attn_layer_indices": [1, 3], **_MAMBA}, [2, 4]),
    "ZambaForCausalLM": (
        {
            "num_hidden_layers": 4,
            "layers_block_type": _HYBRID,
            "n_mamba_heads": 2,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
            "attention_head_dim": 16,
            "use_mamba_kernels": False,
        },
        [2, 4],
    ),
    "RecurrentGemmaForCausalLM": (
        {
            "num_hidden_layers": 3,
            "lru_width": 32,
            "attention_window_size": 64,
            "block_types": ["recurrent", "recurrent", "attention"],
        },
        [3],
    ),
}
"""With the numbers, from 1, of the blocks that have attention."""

WITHOUT = {"MambaForCausalLM": "no attention", "RwkvForCausalLM": "no attention"}
"""What has nothing to measure, and what is said."""


WORDS = ["<unk>", "the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog"]


def save_tokenizer(directory: Path) -> list[str]:
    """Save a tokenizer whose tokens are `WORDS`, and return these."""
    import tokenizers
    import transformers

    words = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(directory)
    return WORDS


def build(name: str, own: dict[str, Any]) -> Any:
    """Return a random model of a class of transformers, with eager attention."""
    import torch
    import transformers

    kind = getattr(transformers, name)
    default = kind.config_class()
    keys = {key: value for key, value in COMMON.items() if hasattr(default, key)} | own
    config = kind.config_class(**{key: value for key, value in keys.items() if value is not None})
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return kind(config).eval()
