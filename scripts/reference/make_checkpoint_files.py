"""Writes tiny checkpoints in every released layout, as PyTorch writes them, for tests/models.

Run where torch and transformers are installed; our package is not needed:

    python scripts/reference/make_checkpoint_files.py tests/models/data/checkpoints

Each file holds random weights under the keys, and beside the other content, of the release that it
is named after. `expected.npz` holds the same values: FILE, all its floats in one row (float16
holds them exactly), and `FILE/keys`, the shape of each key in their order (JSON). Beside them
`config` (a BERT's config.json), `t5_config` and `versions`.
"""

import argparse
import json
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

VERSIONS = {module.__name__: module.__version__ for module in (torch, transformers, np)}
TINY = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 20,
}
TINY_T5 = {
    "vocab_size": 40,
    "d_model": 8,
    "d_kv": 4,
    "d_ff": 12,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
}
BERT = transformers.BertConfig(**TINY)
T5 = transformers.T5Config(**TINY_T5)


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter).half().float())
    return model


def bert(pooler: bool = False) -> torch.nn.Module:
    return transformers.BertModel(BERT, add_pooling_layer=pooler)


class Trainer(torch.nn.Module):
    """A trainer's model: submodules and buffers by name."""

    def __init__(self, buffers: dict[str, torch.Tensor], **parts: torch.nn.Module):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)


class Encoder(torch.nn.Module):
    """DPR's: a BertModel whose own names stand beside `encode_proj`."""

    def __init__(self, projection: int):
        super().__init__()
        inner = bert(pooler=True)
        self.embeddings, self.encoder, self.pooler = inner.embeddings, inner.encoder, inner.pooler
        self.encode_proj = torch.nn.Linear(8, projection) if projection else None
        # A persistent buffer of transformers before 4.31; the cause of many reports.
        self.embeddings.register_buffer("position_ids", torch.arange(20)[None], persistent=True)


def of_dpr(projection: int) -> dict[str, torch.Tensor]:
    parts = {"question_model": Encoder(projection), "ctx_model": Encoder(projection)}
    return dict(randomised(Trainer({}, **parts)).state_dict())


def of_hf_dpr(kind: type, projection: int) -> dict[str, torch.Tensor]:
    config = transformers.DPRConfig(**TINY, projection_dim=projection)
    return dict(randomised(kind(config)).state_dict())


def enc_t5() -> dict[str, torch.Tensor]:
    inner = transformers.T5EncoderModel(T5)
    parts = {"shared": inner.shared, "encoder": inner.encoder}
    return dict(randomised(Trainer({}, **parts, classifier=torch.nn.Linear(8, 2))).state_dict())


def omegaconf() -> Any:
    """The shape of omegaconf's pickled objects, under its names: the package is not needed."""
    modules: dict[str, list[type]] = {
        "dictconfig": [type("DictConfig", (), {})],
        "nodes": [type(name, (), {}) for name in ("AnyNode", "StringNode", "IntegerNode")],
        "base": [type(name, (), {}) for name in ("ContainerMetadata", "Metadata")],
    }
    sys.modules["omegaconf"] = types.ModuleType("omegaconf")
    named: dict[str, type] = {}
    for module, classes in modules.items():
        sys.modules[f"omegaconf.{module}"] = types.ModuleType(f"omegaconf.{module}")
        for made in classes:
            made.__module__ = f"omegaconf.{module}"
            setattr(sys.modules[f"omegaconf.{module}"], made.__name__, made)
            named[made.__name__] = made

    def build(name: str, **state: Any) -> Any:
        made = object.__new__(named[name])
        made.__dict__.update(state)
        return made

    def metadata(name: str, key: str | None) -> Any:
        return build(
            name, ref_type=Any, object_type=dict, optional=True, key=key, flags={},
            resolver_cache=defaultdict(dict),
        )  # fmt: skip

    root = build("DictConfig", _metadata=metadata("ContainerMetadata", None), _parent=None)
    values = {
        "encoder_model_type": ("StringNode", "hf_bert"),
        "pretrained_model_cfg": ("AnyNode", "bert-base-uncased"),
        "projection_dim": ("IntegerNode", 0),
        "sequence_length": ("IntegerNode", 16),
    }
    root._content = {
        key: build(kind, _metadata=metadata("Metadata", key), _parent=root, _val=value)
        for key, (kind, value) in values.items()
    }
    return root


def contents() -> dict[str, tuple[Any, dict[str, torch.Tensor]]]:
    """File name -> (what torch.save is given, the tensors in it)."""
    opt = argparse.Namespace(
        retriever_model_id="bert-base-uncased", pooling="average", norm_query=False,
        norm_doc=False, chunk_length=16, temperature=0.05,
    )  # fmt: skip
    queue = {
        "queue": torch.randn(8, 6).half().float(),
        "queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    models = {
        "tart_dual.pth": bert(),
        "moco.pth": Trainer(queue, encoder_q=bert(), encoder_k=bert()),
        "in_batch.pth": Trainer({}, encoder=bert()),
        "bi_encoder.pth": Trainer({}, q_encoder=bert(), p_encoder=bert()),
    }
    made: dict[str, tuple[Any, dict[str, torch.Tensor]]] = {}
    for name, model in models.items():
        tensors = randomised(model).state_dict()
        made[name] = ({"step": 5, "model": tensors, "optimizer": {}, "opt": opt}, dict(tensors))
    settings = {"do_lower_case": True, "encoder": omegaconf()}
    flat = {"do_lower_case": True, "pretrained_model_cfg": "bert-base-uncased", "projection_dim": 6}
    for name, projection, said in (("dpr_biencoder.3", 0, settings), ("projected.cp", 6, flat)):
        tensors = of_dpr(projection)
        whole = {"model_dict": tensors, "optimizer_dict": {}, "scheduler_dict": {}, "offset": 0}
        made[name] = (whole | {"epoch": 3, "encoder_params": said}, tensors)
    classifier = randomised(transformers.BertForSequenceClassification(BERT)).state_dict()
    for name, tensors in {
        "bert_classifier.bin": dict(classifier),
        "enc_t5.bin": enc_t5(),
        "question_encoder.bin": of_hf_dpr(transformers.DPRQuestionEncoder, 6),
        "ctx_encoder.bin": of_hf_dpr(transformers.DPRContextEncoder, 6),
    }.items():
        made[name] = (tensors, tensors)
    return made


def sharded(folder: Path) -> dict[str, torch.Tensor]:
    """A plain BERT with its pooler in two shards and an index."""
    tensors = dict(randomised(bert(pooler=True)).state_dict())
    names = list(tensors)
    weight_map = {}
    for number, part in enumerate((names[:9], names[9:]), start=1):
        shard = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")
    return tensors


def flat(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    floats = {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point()}
    row = np.concatenate([tensor.numpy().ravel() for tensor in floats.values()])
    shapes = {key: list(tensor.shape) for key, tensor in floats.items()}
    return {name: row.astype(np.float16), f"{name}/keys": np.array(json.dumps(shapes))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    expected: dict[str, np.ndarray] = {}
    for name, (content, tensors) in contents().items():
        torch.save(content, output / name)
        expected |= flat(name, tensors)
    expected |= flat("sharded", sharded(output))
    np.savez_compressed(
        output / "expected.npz",
        versions=np.array(json.dumps(VERSIONS)),
        config=np.array(BERT.to_json_string(use_diff=False)),
        t5_config=np.array(T5.to_json_string(use_diff=False)),
        **expected,
    )
    for path in sorted(output.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
