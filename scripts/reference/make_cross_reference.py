"""Writes the cross-encoders that tests/models compare with, computed by PyTorch.

Run where torch and transformers are installed; our package is not needed:

    python scripts/reference/make_cross_reference.py tests/models/data

`cross_bert_N.npz` holds a tiny random BertForSequenceClassification of N labels (`config`: JSON;
`weight/NAME`: its tensors, float16 so that the file is small, loaded into the model as float32),
tokens, mask, types and `logits`. `cross_t5.npz` is TART-full's model at a tiny shape: T5's encoder,
a linear layer on the state at position 0. `pairs.npz` holds pairs of texts (`pairs`: JSON) and, for
each `length`, their ids and types by AutoTokenizer, cut longest first, over `vocabulary`.
"""

import argparse
import json
import string
import tempfile
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

VERSIONS = {module.__name__: module.__version__ for module in (torch, transformers, tokenizers, np)}
TINY = {
    "vocab_size": 61,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # wide, so that every part of the model moves the output
}
TINY_T5 = {
    "vocab_size": 61,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
}
LETTERS = string.ascii_lowercase
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{x}" for x in LETTERS)]
VOCABULARY += [".", ",", "!", "?"]
PAIRS = [
    ("read a file", "open it."),
    ("find code [SEP] read a file", "the quick brown fox!"),
    ("a", "b " * 30),
    ("c " * 30, "d"),
    ("e " * 15, "f " * 15),
    ("g " * 14, "h " * 15),
    ("", "an empty query"),
    ("an empty document", ""),
    ("Straße, 東京?", "a [SEP] b [SEP] c"),
]
LENGTHS = (9, 16, 20)


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Biases and norms too: zeros and ones test nothing. Values that float16 holds exactly."""
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.3 * torch.randn_like(parameter)
            parameter.copy_((parameter + noise).half().float())
    return model.eval()


def inputs() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    lengths = np.array([17, 3, 9, 4])
    tokens = numbers.integers(1, TINY["vocab_size"], (4, 17)).astype(np.int32)
    mask = np.arange(17)[None] < lengths[:, None]
    tokens[~mask] = 0
    types = (np.arange(17)[None] >= lengths[:, None] // 2).astype(np.int32) * mask
    return {"tokens": tokens, "mask": mask, "types": types.astype(np.int32)}


def weights_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {
        f"weight/{name}": tensor.numpy().astype(np.float16)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }


def bert(num_labels: int) -> dict[str, np.ndarray]:
    torch.manual_seed(num_labels)
    config = transformers.BertConfig(**TINY, num_labels=num_labels)
    model = randomised(transformers.BertForSequenceClassification(config))
    feed = inputs()
    with torch.inference_mode():
        logits = model(
            input_ids=torch.from_numpy(feed["tokens"]).long(),
            attention_mask=torch.from_numpy(feed["mask"]).long(),
            token_type_ids=torch.from_numpy(feed["types"]).long(),
        ).logits
    config = np.array(config.to_json_string(use_diff=False))
    return {"config": config, **feed, "logits": logits.numpy(), **weights_of(model)}


class EncT5(torch.nn.Module):
    """TART-full: the keys `shared`, `encoder` and `classifier`, no decoder, no pooling."""

    def __init__(self, config: transformers.T5Config):
        super().__init__()
        inner = transformers.T5EncoderModel(config)
        self.shared, self.encoder = inner.shared, inner.encoder
        self.classifier = torch.nn.Linear(config.d_model, 2)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        return self.classifier(hidden[:, 0])


def t5() -> dict[str, np.ndarray]:
    torch.manual_seed(5)
    config = transformers.T5Config(**TINY_T5)
    model = randomised(EncT5(config))
    feed = inputs()
    with torch.inference_mode():
        logits = model(
            torch.from_numpy(feed["tokens"]).long(), torch.from_numpy(feed["mask"]).long()
        )
    config = np.array(config.to_json_string(use_diff=False))
    return {"config": config, **feed, "logits": logits.numpy(), **weights_of(model)}


def pairs() -> dict[str, np.ndarray]:
    arrays = {"pairs": np.array(json.dumps(PAIRS)), "vocabulary": np.array(json.dumps(VOCABULARY))}
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(VOCABULARY) + "\n", "utf-8")
        words = transformers.BertTokenizerFast.from_pretrained(folder)
        for length in LENGTHS:
            first, second = ([pair[side] for pair in PAIRS] for side in (0, 1))
            feed = words(
                first, second, truncation="longest_first", max_length=length, padding="max_length"
            )
            for name in ("input_ids", "token_type_ids", "attention_mask"):
                arrays[f"{length}/{name}"] = np.array(feed[name], np.int32)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    contents = {"cross_bert_1": bert(1), "cross_bert_2": bert(2), "cross_t5": t5()}
    for name, content in (contents | {"pairs": pairs()}).items():
        path = output / f"{name}.npz"
        np.savez_compressed(path, versions=np.array(json.dumps(VERSIONS)), **content)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
