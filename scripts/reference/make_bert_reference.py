"""Writes the arrays that tests/models compare with, computed by PyTorch's BERT.

Run where torch, transformers and sentence-transformers are installed; our package is not needed:

    python scripts/reference/make_bert_reference.py --minilm DIRECTORY tests/models/data

Each `bert_NAME.npz` holds a tiny random BertModel (`config`: JSON; `weight/NAME`: its tensors,
float16 so that the file is small, loaded into the model as float32), tokens, mask, `hidden` and,
for every pooling of sentence-transformers, `pooled/NAME`. `minilm.npz` holds texts, their token
ids and their embeddings. `torch_save_zip.pth` and `torch_save_legacy.pth` are one content in the
two forms of `torch.save`; `torch_save.npz` holds what its tensors must read as. All arrays come
with `versions`.
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer

try:
    from sentence_transformers.sentence_transformer.modules import Pooling
except ImportError:  # before version 6
    from sentence_transformers.models import Pooling

VERSIONS = {
    module.__name__: module.__version__
    for module in (torch, transformers, sentence_transformers, tokenizers, np)
}
TINY = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,  # wide, so that every part of the model moves the output
}
CONFIGS = {
    "gelu": {},
    "gelu_new": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
    "relu_one_type": {"hidden_act": "relu", "type_vocab_size": 1, "num_attention_heads": 1},
    "wide_heads": {"num_attention_heads": 2, "num_hidden_layers": 3, "type_vocab_size": 4},
}
POOLINGS = {"mean": "mean", "cls": "cls", "max": "max", "last": "lasttoken"}
TEXTS = [
    "hello world",
    "",
    "How do I read a file line by line in Python?",
    "Find the documentation of a function [SEP] read a file line by line",
    "Straße, naïve café, 東京 and Ελλάδα",
    "def mean(values):\n    return sum(values) / len(values)",
    "The 2020 outbreak: 1,234 cases (95% CI 1.1-2.3).",
    "a",
    "unaffable antidisestablishmentarianism " * 3,
    "word " * 300,
]
LENGTH = 64


def tiny(options: dict) -> dict[str, np.ndarray]:
    """A random model's weights, inputs and outputs."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**TINY | options)
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too: zeros and ones test nothing
            noise = 0.3 * torch.randn_like(parameter)
            parameter.copy_((parameter + noise).half().float())
    numbers = np.random.default_rng(0)
    lengths = np.array([17, 1, 9, 4])
    tokens = numbers.integers(1, TINY["vocab_size"], (4, 17)).astype(np.int32)
    mask = np.arange(17)[None] < lengths[:, None]
    tokens[~mask] = 0
    feed = {"input_ids": torch.from_numpy(tokens).long(), "attention_mask": torch.from_numpy(mask)}
    feed["attention_mask"] = feed["attention_mask"].long()
    with torch.inference_mode():
        hidden = model(**feed).last_hidden_state
    arrays = {
        "config": np.array(config.to_json_string(use_diff=False)),
        "tokens": tokens,
        "mask": mask,
        "hidden": hidden.numpy(),
    }
    for name, theirs in POOLINGS.items():
        features = {"token_embeddings": hidden, "attention_mask": feed["attention_mask"]}
        pooled = Pooling(config.hidden_size, theirs)(features)
        arrays[f"pooled/{name}"] = pooled["sentence_embedding"].numpy()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            arrays[f"weight/{name}"] = tensor.numpy().astype(np.float16)
    return arrays


def minilm(directory: str) -> dict[str, np.ndarray]:
    """Embeddings of TEXTS by sentence-transformers, and the token ids they were made from."""
    model = SentenceTransformer(directory, device="cpu")
    model.max_seq_length = LENGTH
    rows = [
        model.tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"] for text in TEXTS
    ]
    tokens = np.zeros((len(rows), LENGTH), np.int32)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
    return {
        "texts": np.array(json.dumps(TEXTS)),
        "tokens": tokens,
        "lengths": np.array([len(row) for row in rows]),
        "embeddings": model.encode(TEXTS, batch_size=len(TEXTS), convert_to_numpy=True),
    }


def torch_saves(directory: Path) -> None:
    """What trainers write: tensors of many kinds and views, a parameter, a Namespace."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    model = OrderedDict(
        float32=base,
        transposed=base.T,
        tail=base[2:, 1::2],
        float16=base.half(),
        bfloat16=base.bfloat16(),
        int64=torch.arange(5),
        boolean=base > 1,
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(base * 2),
    )
    content = {
        "step": 7,
        "model": model,
        "optimizer": {"state": {0: {"exp_avg": base}}, "param_groups": [{"betas": (0.9, 0.98)}]},
        "opt": argparse.Namespace(retriever_model_id="bert-tiny", lr=1e-5, tags={"a"}),
    }
    torch.save(content, directory / "torch_save_zip.pth")
    torch.save(content, directory / "torch_save_legacy.pth", _use_new_zipfile_serialization=False)
    expected = {name: tensor.detach().float().numpy() for name, tensor in model.items()}
    np.savez_compressed(
        directory / "torch_save.npz", versions=np.array(json.dumps(VERSIONS)), **expected
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch_saves(options.output)
    arrays = {f"bert_{name}": tiny(extra) for name, extra in CONFIGS.items()}
    arrays["minilm"] = minilm(options.minilm)
    for name, content in arrays.items():
        path = options.output / f"{name}.npz"
        np.savez_compressed(path, versions=np.array(json.dumps(VERSIONS)), **content)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
