"""Writes the arrays that tests/models compare with, computed by PyTorch's BART.

Run where torch and transformers (5 or newer) are installed; our package is not needed:

    python scripts/reference/make_bart_reference.py tests/models/data

Each `bart_NAME.npz` holds a tiny random model (`config`: JSON as the hub's checkpoints have it;
`weight/NAME`: its tensors, float16 so that the file is small, loaded into the model as float32),
`tokens`, `mask`, the encoder's `hidden`, `targets` and their teacher-forced `logits`, `greedy`,
and for every entry of SEARCHES `beam/NAME` with `score/NAME`; all with `versions`.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers

VERSIONS = {module.__name__: module.__version__ for module in (torch, transformers, np)}
TINY = {
    "vocab_size": 67,
    "d_model": 24,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "init_std": 0.5,  # so that answers differ
}
CONFIGS = {
    "plain": {"forced_eos_token_id": None, "forced_bos_token_id": None},
    "forced": {"forced_bos_token_id": 0, "forced_eos_token_id": 2, "scale_embedding": True,
               "activation_function": "relu"},
}  # fmt: skip
NEW_TOKENS = 12
SEARCHES = {
    "default": {"num_beams": 4},
    "early": {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True,
              "length_penalty": 2.0},
}  # fmt: skip


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.BartConfig(**TINY | CONFIGS[name])
    model = transformers.BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.final_logits_bias.copy_(torch.randn(1, config.vocab_size))
        model.final_logits_bias[0, 2] += 6.0  # some answers end early
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
        model.final_logits_bias.copy_(model.final_logits_bias.half().float())
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
        forced_bos_token_id=CONFIGS[name]["forced_bos_token_id"],
        forced_eos_token_id=CONFIGS[name]["forced_eos_token_id"],
    )  # fmt: skip
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    warnings.simplefilter("ignore")
    for name in CONFIGS:
        model = build(name)
        rng = np.random.default_rng(1)
        tokens = rng.integers(3, TINY["vocab_size"], (6, 15))
        lengths = np.array([15, 11, 7, 3, 15, 9])
        mask = np.arange(15)[None] < lengths[:, None]
        tokens = np.where(mask, tokens, 1)
        targets = rng.integers(3, TINY["vocab_size"], (6, 10))
        targets[:, 0] = 2
        inputs = {"input_ids": torch.tensor(tokens), "attention_mask": torch.tensor(mask).long()}
        arrays = {"tokens": tokens.astype(np.int32), "mask": mask,
                  "targets": targets.astype(np.int32)}  # fmt: skip
        with torch.no_grad():
            found = model(**inputs, decoder_input_ids=torch.tensor(targets))
            arrays["hidden"] = found.encoder_last_hidden_state.numpy()
            arrays["logits"] = found.logits.numpy()
            arrays["greedy"] = model.generate(
                **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, num_beams=1
            ).numpy()
            for search, options in SEARCHES.items():
                beams = model.generate(
                    **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, output_scores=True,
                    return_dict_in_generate=True, **options,
                )  # fmt: skip
                arrays[f"beam/{search}"] = beams.sequences.numpy()
                arrays[f"score/{search}"] = beams.sequences_scores.numpy()
        written = model.config.to_dict() | CONFIGS[name]
        arrays["config"] = np.array(json.dumps(written))
        arrays["versions"] = np.array(json.dumps(VERSIONS))
        state = {k: v for k, v in model.state_dict().items()
                 if k not in ("lm_head.weight",) and "embed_tokens" not in k}  # fmt: skip
        arrays |= {f"weight/{k}": v.numpy().astype(np.float16) for k, v in state.items()}
        np.savez_compressed(folder / f"bart_{name}.npz", **arrays)


if __name__ == "__main__":
    main()
