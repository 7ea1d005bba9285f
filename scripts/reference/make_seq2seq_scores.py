"""Writes the MonoT5 and UPR scores that our scorers are compared with, computed by PyTorch.

Run where torch, transformers and tokenizers are installed; our package is not needed:

    python scripts/reference/make_seq2seq_scores.py tests/models/data

Each `seq2seq_NAME.npz` holds a tiny random T5 (`config`: JSON; `weight/NAME`: its tensors, float16
so that the file is small, loaded into the model as float32), its `tokenizer` (tokenizer.json) and
`pairs` (JSON: query, document), of which some are longer than `max_length` tokens; `monot5` and
`upr` are their scores, each pair alone and without padding, and `ids/monot5`, `ids/upr` what the
encoder read, padded with 0. UPR's score is the negative of the loss that T5 computes itself.
"""

import argparse
import json
import string
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

VERSIONS = {module.__name__: module.__version__ for module in (torch, transformers, tokenizers, np)}
TINY = {
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 32,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
CONFIGS = {
    "relu_tied": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "gated": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
SPACE = "\u2581"
WORDS = "Query Document Relevant Passage Please write a question based on this passage true false"
MAX_LENGTH = 40  # tokens
MONOT5_END, UPR_END = "Relevant:", "Please write a question based on this passage."
PAIRS = [
    ("where is the oak", "the oak stands in the field"),
    ("where is the elm", "the oak stands in the field"),
    ("a", "b"),
    ("is this true", "false or true?"),
    ("", "an empty query"),
    ("an empty document", ""),
    ("who cut this", "a long text " * 20),
    ("so long a question " * 5, "and a short text"),
    ("ends with a point.", "so does this."),
    ("spaces   in  a row", " before and   after "),
]


def make_tokenizer() -> tokenizers.Tokenizer:
    """T5's in small: unigrams over words apart, `</s>` behind a text."""
    pieces = ["<pad>", "</s>", "<unk>", SPACE, *string.ascii_letters, *".,:?[]"]
    pieces += [SPACE + word for word in WORDS.split()]
    # a long piece is likelier than its letters
    scored = [(piece, 1.0 * len(piece) - 12.0) for piece in pieces]
    words = tokenizers.Tokenizer(tokenizers.models.Unigram(scored, unk_id=2))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()]
    )
    words.decoder = tokenizers.decoders.Metaspace()
    words.add_special_tokens(["<pad>", "</s>", "<unk>"])
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return words


def build(name: str, vocab_size: int) -> tuple[torch.nn.Module, dict]:
    torch.manual_seed(3)
    options = TINY | CONFIGS[name] | {"vocab_size": vocab_size}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**options)).eval()
    with torch.no_grad():
        if not options["tie_word_embeddings"]:
            # transformers 5 ties at birth, and unties where a checkpoint holds two tables
            model.lm_head.weight = torch.nn.Parameter(torch.randn(model.lm_head.weight.shape))
        for parameter in model.parameters():
            noise = 0.3 if parameter.ndim == 1 else 0.1
            parameter.copy_((parameter + noise * torch.randn_like(parameter)).half().float())
    return model, {"model_type": "t5"} | options


def shortened(words: tokenizers.Tokenizer, text: str, end: str) -> list[int]:
    """The ids of a whole text; of one too long what stands before its end goes."""
    ids, tail = words.encode(text).ids, words.encode(end).ids
    assert ids[-len(tail) :] == tail
    return ids if len(ids) <= MAX_LENGTH else ids[: MAX_LENGTH - len(tail)] + tail


@torch.inference_mode()
def monot5(model: torch.nn.Module, words: tokenizers.Tokenizer, ids: list[int]) -> float:
    start = torch.tensor([[model.config.decoder_start_token_id]])
    # The mask: by itself transformers hides padding ids in what the decoder reads, its start token
    # among them, in some versions.
    logits = model(
        input_ids=torch.tensor([ids]),
        decoder_input_ids=start,
        decoder_attention_mask=torch.ones_like(start),
    ).logits[0, 0]
    answers = [words.token_to_id(SPACE + word) for word in ("false", "true")]
    return float(torch.log_softmax(logits[answers], dim=0)[1])


@torch.inference_mode()
def upr(model: torch.nn.Module, words: tokenizers.Tokenizer, ids: list[int], query: str) -> float:
    labels = torch.tensor([words.encode(query).ids])
    mask = torch.ones_like(labels)
    return -float(
        model(input_ids=torch.tensor([ids]), labels=labels, decoder_attention_mask=mask).loss
    )


def padded(rows: list[list[int]]) -> np.ndarray:
    return np.array([row + [0] * (MAX_LENGTH - len(row)) for row in rows], np.int32)


def arrays(name: str) -> dict[str, np.ndarray]:
    words = make_tokenizer()
    model, config = build(name, words.get_vocab_size())
    asked = [
        shortened(words, f"Query: {query} Document: {document} {MONOT5_END}", MONOT5_END)
        for query, document in PAIRS
    ]
    read = [shortened(words, f"Passage: {document}. {UPR_END}", UPR_END) for _, document in PAIRS]
    likely = [upr(model, words, ids, query) for ids, (query, _) in zip(read, PAIRS, strict=True)]
    result = {
        "config": np.array(json.dumps(config)),
        "tokenizer": np.array(words.to_str()),
        "pairs": np.array(json.dumps(PAIRS)),
        "max_length": np.array(MAX_LENGTH),
        "ids/monot5": padded(asked),
        "ids/upr": padded(read),
        "monot5": np.array([monot5(model, words, ids) for ids in asked], np.float32),
        "upr": np.array(likely, np.float32),
    }
    for key, tensor in model.state_dict().items():
        alias = key.endswith("embed_tokens.weight")
        if not alias and not (key == "lm_head.weight" and config["tie_word_embeddings"]):
            result[f"weight/{key}"] = tensor.numpy().astype(np.float16)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for name in CONFIGS:
        path = output / f"seq2seq_{name}.npz"
        content = arrays(name)
        np.savez_compressed(path, versions=np.array(json.dumps(VERSIONS)), **content)
        print(f"{path}: {path.stat().st_size:,} bytes")
        for score in ("monot5", "upr"):
            print(score, content[score].round(3))


if __name__ == "__main__":
    main()
