"""Writes the LoRA adapters that tests/models compare with, as PEFT saves them.

Run where torch, transformers and peft are installed; our package is not needed:

    python scripts/reference/make_adapter_reference.py tests/models/data

`adapter_encoder/` changes the BertModel of `bert_gelu.npz` (rank 3, query and the last dense
layers), `adapter_classifier/` the BertForSequenceClassification of `cross_bert_2.npz` (rank 2,
rsLoRA, value; classifier and pooler whole). Beside PEFT's two files lies `outputs.npz`: what the
model gives for that file's tokens (`outputs`), and without the adapter (`base`).
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers


def build(kind: type, file: Path) -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    """The model of a reference file, and the file."""
    with np.load(file) as content:
        arrays = dict(content)
    config = transformers.BertConfig(**json.loads(str(arrays["config"])))
    weights = {
        name.removeprefix("weight/"): torch.from_numpy(value.astype(np.float32))
        for name, value in arrays.items()
        if name.startswith("weight/")
    }
    model = kind(config)
    lost = model.load_state_dict(weights, strict=False)
    assert not lost.unexpected_keys and all("pooler" in key for key in lost.missing_keys), lost
    return model.eval(), arrays


def moved(model: torch.nn.Module) -> None:
    """Factors and heads other than they start, in numbers that float16 holds exactly."""
    generator = torch.Generator().manual_seed(0)
    for parameter in (p for p in model.parameters() if p.requires_grad):
        values = torch.randn(parameter.shape, generator=generator) / 2
        parameter.data = values.half().float()


@torch.inference_mode()
def write(folder: Path, model: torch.nn.Module, arrays: dict[str, Any], **options: Any) -> None:
    names = {"input_ids": "tokens", "attention_mask": "mask", "token_type_ids": "types"}
    inputs = {k: torch.from_numpy(arrays[v]).long() for k, v in names.items() if v in arrays}
    base = model(**inputs)[0].numpy()
    adapted = peft.get_peft_model(model, peft.LoraConfig(lora_alpha=8, **options))
    moved(adapted)
    with tempfile.TemporaryDirectory() as saved:
        adapted.save_pretrained(saved)
        folder.mkdir(exist_ok=True)
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / name).write_bytes((Path(saved) / name).read_bytes())
    np.savez_compressed(folder / "outputs.npz", base=base, outputs=adapted(**inputs)[0].numpy())


def main(directory: Path) -> None:
    encoder, arrays = build(transformers.BertModel, directory / "bert_gelu.npz")
    targets = ["query", "output.dense"]
    write(
        directory / "adapter_encoder", encoder, arrays,
        r=3, target_modules=targets, task_type="FEATURE_EXTRACTION",
    )  # fmt: skip
    kind = transformers.BertForSequenceClassification
    classifier, arrays = build(kind, directory / "cross_bert_2.npz")
    write(
        directory / "adapter_classifier", classifier, arrays, r=2, target_modules=["value"],
        use_rslora=True, task_type="SEQ_CLS", modules_to_save=["classifier", "pooler"],
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path)
    main(parser.parse_args().directory)
