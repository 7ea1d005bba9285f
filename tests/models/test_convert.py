"""The stage `convert`: released checkpoints to our directory, and back to each layout."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from tart_jax import config as configs
from tart_jax.models import convert, dual_encoder, pretrained, pretrained_cross, torch_files
from tart_jax.types import InputError

CONFIG = str(Path(__file__).parents[2] / "configs" / "convert" / "default.py")
# Written by scripts/reference/make_checkpoint_files.py
DATA = Path(__file__).parent / "data" / "checkpoints"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", ".", "!"]


@pytest.fixture
def base(tmp_path) -> Path:
    """What a released weight file lacks: the model's config.json and tokenizer."""
    folder = tmp_path / "base"
    folder.mkdir()
    with np.load(DATA / "expected.npz") as file:
        (folder / "config.json").write_text(str(file["config"]))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    return folder


def converted(workdir: Path, source: Path | str, **options) -> dict:
    """Runs the stage; the content of convert.json."""
    words = [f"--config.{key}={value}" for key, value in {"source": source, **options}.items()]
    convert.run(configs.load(CONFIG, words), workdir)
    return json.loads((workdir / "convert.json").read_text())


def floats(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / "expected.npz") as file:
        row, shapes = file[name].astype(np.float32), json.loads(str(file[f"{name}/keys"]))
    parts = np.split(row, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
    return {key: part.reshape(shapes[key]) for key, part in zip(shapes, parts, strict=True)}


DUAL = {  # file: layout, pooling, projection, tokens of a text, prefixes of query and document
    "tart_dual.pth": ("bert", "mean", None, 16, "", ""),
    "moco.pth": ("moco", "mean", None, 16, "encoder_q.", "encoder_q."),
    "in_batch.pth": ("in_batch", "mean", None, 16, "encoder.", "encoder."),
    "bi_encoder.pth": ("bi_encoder", "mean", None, 16, "q_encoder.", "p_encoder."),
    "dpr_biencoder.3": ("dpr", "cls", None, 16, "question_model.", "ctx_model."),
    "projected.cp": ("dpr", "cls", 6, 20, "question_model.", "ctx_model."),
}


@pytest.mark.parametrize("name", DUAL)
def test_a_checkpoint_becomes_a_model_that_loads_with_its_numbers(tmp_path, base, name, capsys):
    layout, pooling, projection, length, query, document = DUAL[name]
    report = converted(tmp_path / "run", DATA / name, config_from=base)
    assert (report["layout"], report["to"], report["not_carried"]) == (layout, "tart_jax", {})
    assert report["counts"]["missing"] == report["counts"]["unexpected"] == 0
    assert report["counts"]["matched"] == len(report["matched"])
    model = pretrained.load(tmp_path / "run" / "model")
    assert model.weights_sha256 == report["weights_sha256"]
    assert model.config.tied == (query == document)
    assert (model.config.pooling, model.config.projection) == (pooling, projection)
    between = "[SEP]" if pooling == "cls" else ""  # DPR's passages
    assert model.format == pretrained.Format(
        query_length=length, document_length=length, title_separator=between
    )
    for tower, prefix in (("query", query), ("document", document)):
        encoder = model.params[tower if tower in model.params else "document"]["encoder"]
        for key, found in (
            ("embeddings.word_embeddings.weight", encoder["embeddings"]["tokens"]["embedding"]),
            ("encoder.layer.0.output.dense.weight", encoder["layers"][0]["down"]["kernel"].T),
        ):
            np.testing.assert_array_equal(found, floats(name)[prefix + key])
    shown = capsys.readouterr().out
    assert f"{len(report['matched'])}" in shown
    assert all(key in shown for key in report["ignored"])


@pytest.mark.parametrize("name", [name for name in DUAL if name != "moco.pth"])
def test_a_checkpoint_goes_back_to_its_layout(tmp_path, base, name):
    layout = DUAL[name][0]
    report = converted(tmp_path / "ours", DATA / name, config_from=base)
    converted(tmp_path / "back", tmp_path / "ours" / "model", to=layout)
    tensors = safetensors.numpy.load_file(tmp_path / "back" / "model" / "model.safetensors")
    assert set(tensors) == set(report["matched"])
    for key, value in tensors.items():
        np.testing.assert_array_equal(value, floats(name)[key])
    pooling = DUAL[name][1]
    again = converted(tmp_path / "again", tmp_path / "back" / "model", pooling=pooling)
    assert again["weights_sha256"] == report["weights_sha256"]


def test_dpr_becomes_the_pair_of_hugging_face_and_comes_back(tmp_path, base):
    ours = converted(tmp_path / "ours", DATA / "projected.cp", config_from=base)
    for to in ("hf", "hf_dpr"):
        converted(tmp_path / to, DATA / "projected.cp", config_from=base, to=to)
    both = tmp_path / "hf_dpr" / "model"
    assert sorted(path.name for path in both.iterdir()) == ["ctx_encoder", "question_encoder"]
    hf = json.loads((both / "ctx_encoder" / "config.json").read_text())
    assert (hf["model_type"], hf["projection_dim"]) == ("dpr", 6)
    assert hf["architectures"] == ["DPRContextEncoder"]
    back = converted(tmp_path / "back", both)
    assert (back["layout"], back["weights_sha256"]) == ("hf_dpr", ours["weights_sha256"])
    apart = {"document_source": both / "ctx_encoder"}
    again = converted(tmp_path / "again", both / "question_encoder", **apart)
    assert again["weights_sha256"] == ours["weights_sha256"]
    assert pretrained.load(tmp_path / "again" / "model").config.pooling == "cls"
    with pytest.raises(InputError, match="holds DPR's question_encoder alone; name the other"):
        converted(tmp_path / "x", both / "question_encoder")
    with pytest.raises(InputError, match="both hold question_encoder"):
        converted(
            tmp_path / "x", both / "question_encoder", document_source=both / "question_encoder"
        )


def test_files_of_hugging_faces_dpr_are_read(tmp_path, base):
    report = converted(
        tmp_path / "run", DATA / "question_encoder.bin", config_from=base,
        document_source=DATA / "ctx_encoder.bin",
    )  # fmt: skip
    model = pretrained.load(tmp_path / "run" / "model")
    assert (report["layout"], model.config.projection) == ("hf_dpr", 6)
    wanted = floats("ctx_encoder.bin")["ctx_encoder.encode_proj.weight"]
    np.testing.assert_array_equal(model.params["document"]["projection"]["kernel"].T, wanted)


@pytest.fixture
def classifier(tmp_path, base) -> Path:
    folder = tmp_path / "classifier"
    shutil.copytree(base, folder)
    shutil.copy(DATA / "bert_classifier.bin", folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("to", ["tart_jax", "hf", "bert_classifier"])
def test_a_classifier_is_converted_and_comes_back(tmp_path, classifier, to):
    report = converted(tmp_path / "run", classifier, to=to, separator="!")
    model = pretrained_cross.load(tmp_path / "run" / "model")
    assert model.weights_sha256 == report["weights_sha256"]
    assert report["layout"] == "bert_classifier"
    assert model.format_known == (to == "tart_jax")
    if to == "tart_jax":
        assert (model.format.separator, report["not_carried"]) == ("!", {})
    else:
        assert report["not_carried"]["separator"] == "!"
    tensors = safetensors.numpy.load_file(tmp_path / "run" / "model" / "model.safetensors")
    for key, value in floats("bert_classifier.bin").items():
        np.testing.assert_array_equal(tensors[key], value)
    again = converted(tmp_path / "again", tmp_path / "run" / "model")
    assert again["weights_sha256"] == report["weights_sha256"]


def test_a_directory_of_shards_without_anything_else_is_read(tmp_path, base):
    for path in DATA.glob("pytorch_model*"):
        shutil.copy(path, base)
    report = converted(tmp_path / "run", base)
    assert report["ignored"] == ["pooler.dense.bias", "pooler.dense.weight"]
    again = pretrained.load(base)
    assert again.weights_sha256 == report["weights_sha256"]
    converted(tmp_path / "hf", base, to="hf")
    assert pretrained.load(tmp_path / "hf" / "model").weights_sha256 == report["weights_sha256"]


def test_what_is_given_wins_over_what_the_checkpoint_says(tmp_path, base):
    converted(tmp_path / "run", DATA / "moco.pth", config_from=base, pooling="cls", normalize=True)
    model = pretrained.load(tmp_path / "run" / "model")
    assert (model.config.pooling, model.config.normalize) == ("cls", True)


def test_a_checkpoint_without_its_config_says_where_it_came_from(tmp_path):
    for name in ("tart_dual.pth", "dpr_biencoder.3", "projected.cp"):
        shutil.copy(DATA / name, tmp_path)
        with pytest.raises(
            InputError, match=r"config_from \(it was trained from bert-base-uncased\)"
        ):
            converted(tmp_path / "run", tmp_path / name)
        assert not (tmp_path / "run" / "convert.json").exists()


def test_a_wrong_layout_or_target_is_an_error(tmp_path, base):
    def error(said, **options):
        with pytest.raises(InputError, match=said):
            converted(
                tmp_path / "run", **{"source": DATA / "moco.pth", "config_from": base} | options
            )
        assert not (tmp_path / "run" / "model").exists()

    error("is not of layout dpr .*are of layout moco", layout="dpr")
    error("--config.to=pytorch is not known; there are tart_jax, hf, ", to="pytorch")
    error("is not of this kind of model", to="bert_classifier")
    error("--config.source is missing", source="")
    error("know pooling cls without normalisation", source=DATA / "bi_encoder.pth", to="hf")
    error("does not exist", source=tmp_path / "nothing")
    error("does not exist", config_from=tmp_path / "nothing")


def test_a_described_directory_wants_no_hints(tmp_path, base):
    converted(tmp_path / "ours", DATA / "moco.pth", config_from=base)
    with pytest.raises(InputError, match="says itself what it is; --config.layout=bert"):
        converted(tmp_path / "run", tmp_path / "ours" / "model", layout="bert")


def test_unexpected_keys_are_shown_and_left_out_only_if_asked(tmp_path, base, capsys):
    tensors = floats("tart_dual.pth")
    head = {"head.weight": np.zeros(2, np.float32)}
    safetensors.numpy.save_file(tensors | head, base / "model.safetensors")
    with pytest.raises(InputError, match="1 unexpected: head.weight"):
        converted(tmp_path / "run", base)
    assert "not converted" in (shown := capsys.readouterr().out) and "head.weight" in shown
    assert not (tmp_path / "run" / "convert.json").exists()
    report = converted(tmp_path / "run", base, strict=False)
    assert report["unexpected"] == ["head.weight"]


def test_settings_that_cannot_be_followed_are_an_error(tmp_path, base, monkeypatch):
    content = torch_files.read(DATA / "tart_dual.pth")
    monkeypatch.setattr(convert, "read_torch", lambda path: content)
    content["opt"].norm_query = True
    with pytest.raises(InputError, match="normalises queries True, documents False"):
        converted(tmp_path / "run", DATA / "tart_dual.pth", config_from=base)
    content["opt"].norm_doc = True
    converted(tmp_path / "run", DATA / "tart_dual.pth", config_from=base)
    assert pretrained.load(tmp_path / "run" / "model").config.normalize
    content["opt"].pooling = "attentive"
    with pytest.raises(InputError, match="opt.pooling is 'attentive', not one of average, cls"):
        converted(tmp_path / "run", DATA / "tart_dual.pth", config_from=base)


def test_an_earlier_conversion_is_replaced_and_other_folders_are_not(tmp_path, base):
    for to in ("bert", "in_batch"):
        converted(tmp_path / "run", DATA / "moco.pth", config_from=base, to=to)
    tensors = safetensors.numpy.load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(key.startswith("encoder.") for key in tensors)
    (tmp_path / "other" / "model").mkdir(parents=True)
    (tmp_path / "other" / "model" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is no exported model"):
        converted(tmp_path / "other", DATA / "moco.pth", config_from=base, to="bert")


def test_the_pair_embeds_as_two_towers(tmp_path, base):
    """Numbers of a tower are PyTorch's by test_bert; here, that each side has its own."""
    converted(tmp_path / "run", DATA / "projected.cp", config_from=base)
    model = pretrained.load(tmp_path / "run" / "model")
    tokens, mask = jnp.full((2, 5), 7), jnp.ones((2, 5), bool)
    graph = dual_encoder.graphdef(model.config)
    query, document = (
        np.asarray(dual_encoder.encode(graph, model.params, tokens, mask, tower=tower))
        for tower in ("query", "document")
    )
    assert query.shape == document.shape == (2, 6)
    assert np.abs(query - document).max() > 0.1


def test_hugging_faces_dpr_embeds_an_export_as_we_do(tmp_path, base):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    converted(tmp_path / "ours", DATA / "projected.cp", config_from=base)
    converted(tmp_path / "theirs", DATA / "projected.cp", config_from=base, to="hf")
    model = pretrained.load(tmp_path / "ours" / "model")
    graph = dual_encoder.graphdef(model.config)
    tokens = np.array([[2, 9, 8, 7, 3], [2, 5, 6, 30, 3]], np.int32)
    for tower, part, kind in (
        ("query", "question_encoder", transformers.DPRQuestionEncoder),
        ("document", "ctx_encoder", transformers.DPRContextEncoder),
    ):
        ours = dual_encoder.encode(
            graph, model.params, jnp.asarray(tokens), jnp.ones((2, 5), bool), tower=tower
        )
        theirs = kind.from_pretrained(tmp_path / "theirs" / "model" / part).eval()
        with torch.inference_mode():
            expected = theirs(torch.from_numpy(tokens).long()).pooler_output.numpy()
        # float32 sums in another order; entries of size 1 to 10
        np.testing.assert_allclose(np.asarray(ours), expected, atol=1e-5)
        assert np.abs(np.asarray(ours)[::-1] - expected).max() > 0.1


@pytest.fixture
def tart_full(tmp_path) -> Path:
    """TART-full's directory: its keys in a torch file, a vocabulary of T5's size."""
    folder = tmp_path / "tart-full"
    folder.mkdir()
    with np.load(DATA / "expected.npz") as file:
        hf = json.loads(str(file["t5_config"])) | {"vocab_size": 32_128}
    (folder / "config.json").write_text(json.dumps(hf))
    tensors = floats("enc_t5.bin")
    table = np.resize(tensors["shared.weight"], (32_128, 8))
    tensors |= {"shared.weight": table, "encoder.embed_tokens.weight": table}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    pieces = ["<pad>", "</s>", "<unk>", *(f"piece{n}" for n in range(31_997))]
    model = tokenizers.models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2)
    words = tokenizers.Tokenizer(model)
    words.add_special_tokens(["<pad>", "</s>", *(f"<extra_id_{n}>" for n in range(99, -1, -1))])
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    words.save(str(folder / "tokenizer.json"))
    return folder


def test_tart_full_is_converted_and_comes_back(tmp_path, tart_full):
    report = converted(tmp_path / "run", tart_full)
    assert report["layout"] == "enc_t5"
    assert report["ignored"] == ["encoder.embed_tokens.weight"]
    model = pretrained_cross.load(tmp_path / "run" / "model")
    assert (model.format.start_token, model.format.separator) == (32_100, "[SEP]")
    back = converted(tmp_path / "back", tmp_path / "run" / "model", to="enc_t5", separator="</s>")
    assert back["weights_sha256"] == report["weights_sha256"]
    assert back["not_carried"]["separator"] == "</s>"
    tensors = safetensors.numpy.load_file(tmp_path / "back" / "model" / "model.safetensors")
    wanted = safetensors.numpy.load_file(tart_full / "model.safetensors")
    assert set(tensors) == set(wanted) - {"encoder.embed_tokens.weight"}
    for key, value in tensors.items():
        np.testing.assert_array_equal(value, wanted[key])


def test_the_encoder_of_a_t5_becomes_a_dual_encoder(tmp_path, tart_full):
    path = tart_full / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    plain = {k: v for k, v in tensors.items() if not k.startswith("classifier")}
    safetensors.numpy.save_file(plain, path)
    report = converted(tmp_path / "run", tart_full)
    model = pretrained.load(tmp_path / "run" / "model")
    assert (report["layout"], model.config.pooling) == ("t5_encoder", "mean")
    assert model.weights_sha256 == report["weights_sha256"]
    converted(tmp_path / "hf", tmp_path / "run" / "model", to="hf")
    back = safetensors.numpy.load_file(tmp_path / "hf" / "model" / "model.safetensors")
    for key, value in back.items():
        np.testing.assert_array_equal(value, plain[key])
