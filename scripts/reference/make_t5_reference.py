"""Writes the arrays that tests/models compare with, computed by PyTorch's T5 and mT5.

Run where torch and transformers (5 or newer) are installed; our package is not needed:

    python scripts/reference/make_t5_reference.py tests/models/data

Each `t5_NAME.npz` holds a tiny random model (`config`: JSON as the hub's checkpoints have it;
`weight/NAME`: its tensors, float16 so that the file is small, loaded into the model as float32),
`tokens`, `mask`, the encoder's `hidden`, `targets` and their teacher-forced `logits`, `greedy`,
and for every entry of SEARCHES `beam/NAME` with `score/NAME`. `t5_buckets.npz` holds the bucket of
each distance for some tables. All arrays come with `versions`.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.t5.modeling_t5 import T5Attention

VERSIONS = {module.__name__: module.__version__ for module in (torch, transformers, np)}
TINY = {
    "vocab_size": 61,
    "d_model": 24,
    "d_kv": 10,  # not d_model / num_heads
    "d_ff": 40,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
CONFIGS = {
    "relu_tied": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "gated": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "mt5": {
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "vocab_size": 83,
        "num_layers": 3,
        "num_decoder_layers": 3,
        "num_heads": 2,
        "d_kv": 16,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
    },
}
NEW_TOKENS = 12
SEARCHES = {
    "default": {"num_beams": 4},
    "three": {"num_beams": 3, "num_return_sequences": 3},
    "early": {
        "num_beams": 4,
        "num_return_sequences": 2,
        "early_stopping": True,
        "length_penalty": 2.0,
    },
    "never": {
        "num_beams": 2,
        "num_return_sequences": 2,
        "early_stopping": "never",
        "length_penalty": 2.0,
    },
    "long": {"num_beams": 4, "length_penalty": 2.0, "num_return_sequences": 2},
    "short": {"num_beams": 4, "length_penalty": -1.0, "num_return_sequences": 2},
}
TABLES = [(32, 128), (32, 256), (16, 64), (8, 20), (64, 512)]


def build(name: str) -> tuple[torch.nn.Module, dict]:
    """A random model, and its configuration as checkpoints of that family write it."""
    torch.manual_seed(0)
    options = TINY | CONFIGS[name]
    family = "MT5" if name == "mt5" else "T5"
    config = getattr(transformers, f"{family}Config")(**options)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
    with torch.no_grad():
        if not options["tie_word_embeddings"]:
            # transformers 5 ties at birth, and unties where a checkpoint holds two tables
            model.lm_head.weight = torch.nn.Parameter(torch.randn(model.lm_head.weight.shape))
        for parameter in model.parameters():
            # Norms are ones, which test nothing. Matrices stay near their start: attention is not
            # scaled, and larger ones make a model whose own float32 is 1e-5 off its float64.
            noise = 0.3 if parameter.ndim == 1 else 0.05
            parameter.copy_((parameter + noise * torch.randn_like(parameter)).half().float())
        # a wider spread of logits, and ends that do come
        last = model.shared.weight if options["tie_word_embeddings"] else model.lm_head.weight
        last.mul_(1.0 if options["tie_word_embeddings"] else 0.2)
        last[1] *= 4
        last.copy_(last.half().float())
    return model, {"model_type": family.lower()} | options


def inputs(vocabulary: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    lengths = np.array([33, 1, 9, 4, 20, 14])
    tokens = numbers.integers(2, vocabulary, (6, 33)).astype(np.int32)
    mask = np.arange(33)[None] < lengths[:, None]
    tokens[~mask] = 0
    targets = numbers.integers(2, vocabulary, (6, 15)).astype(np.int32)
    targets[:, 0] = 0
    return tokens, mask, targets


def arrays(name: str) -> dict[str, np.ndarray]:
    """A random model's weights, inputs and outputs."""
    model, config = build(name)
    tokens, mask, targets = inputs(config["vocab_size"])
    feed = {
        "input_ids": torch.from_numpy(tokens).long(),
        "attention_mask": torch.from_numpy(mask).long(),
    }
    result = {"config": np.array(json.dumps(config)), "tokens": tokens, "mask": mask}
    with torch.inference_mode():
        result["hidden"] = model.encoder(**feed).last_hidden_state.numpy()
        result["targets"] = targets
        # The mask of all ones: by itself transformers hides padding ids in what the decoder reads,
        # its start token among them, in some versions.
        decoder = torch.from_numpy(targets).long()
        result["logits"] = model(
            **feed, decoder_input_ids=decoder, decoder_attention_mask=torch.ones_like(decoder)
        ).logits.numpy()
        limit = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
        result["greedy"] = model.generate(**feed, **limit, num_beams=1).numpy().astype(np.int32)
        for search, options in SEARCHES.items():
            found = model.generate(
                **feed, **limit, **options, return_dict_in_generate=True, output_scores=True
            )
            result[f"beam/{search}"] = found.sequences.numpy().astype(np.int32)
            result[f"score/{search}"] = found.sequences_scores.numpy()
    for key, tensor in model.state_dict().items():
        alias = key.endswith("embed_tokens.weight")
        if not alias and not (key == "lm_head.weight" and config["tie_word_embeddings"]):
            result[f"weight/{key}"] = tensor.numpy().astype(np.float16)
    return result


def buckets() -> dict[str, np.ndarray]:
    """The bucket of each distance (key's place - query's) for tables of several sizes."""
    distances = torch.arange(-1100, 1101)
    rows = [
        T5Attention._relative_position_bucket(distances, both_ways, count, longest).numpy()
        for count, longest in TABLES
        for both_ways in (True, False)
    ]
    return {
        "distances": distances.numpy().astype(np.int16),
        "tables": np.array(TABLES),
        "buckets": np.stack(rows).astype(np.int8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.output.mkdir(parents=True, exist_ok=True)
    contents = {f"t5_{name}": arrays(name) for name in CONFIGS} | {"t5_buckets": buckets()}
    for name, content in contents.items():
        path = options.output / f"{name}.npz"
        np.savez_compressed(path, versions=np.array(json.dumps(VERSIONS)), **content)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
