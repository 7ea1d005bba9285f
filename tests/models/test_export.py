"""Exported directories: ours again, and the models that PyTorch's libraries load."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tart_jax.data.tokenization import pad
from tart_jax.models import dual_encoder
from tart_jax.models.pretrained import Format, export, load
from tart_jax.types import InputError

TEXTS = ["read a file.", "a [SEP] b", "the quick brown fox!"]
FORMAT = Format("query_first", None, 9, 15)


@pytest.fixture
def model(safetensors_directory):
    return load(safetensors_directory)


def export_of(model, directory, **changes):
    """Exports the model, its config changed; a projection or second tower is made up."""
    config = dataclasses.replace(model.config, **changes)
    tower = dict(model.params["document"])
    if config.projection:
        kernel = np.random.default_rng(0).normal(size=(24, config.projection))
        bias = np.arange(config.projection)
        tower["projection"] = {"kernel": kernel.astype("f4"), "bias": bias.astype("f4")}
    params = {"document": tower}
    if not config.tied:
        params["query"] = jax.tree.map(lambda leaf: leaf + np.float32(0.25), tower)
    export(directory, config=config, params=params, format=FORMAT, tokenizer=model.tokenizer)
    return config, params


def embed(model, tower="document", texts=TEXTS):
    rows = model.tokenizer.encode(texts, 15)
    tokens, mask = pad(rows, len(rows), 15, model.tokenizer.pad_id)
    graph = dual_encoder.graphdef(model.config)
    return np.asarray(
        dual_encoder.encode(
            graph, model.params, jnp.asarray(tokens), jnp.asarray(mask), tower=tower
        )
    )


VARIANTS = [
    {},
    {"pooling": "cls", "normalize": True},
    {"pooling": "max", "projection": 5},
    {"pooling": "last", "projection": 5, "normalize": True},
]


@pytest.mark.parametrize("changes", [*VARIANTS, {"tied": False, "projection": 5}])
def test_export_then_import_is_the_identity(model, tmp_path, changes):
    config, params = export_of(model, tmp_path / "out", **changes)
    back = load(tmp_path / "out")
    assert back.config == config
    assert back.format == FORMAT
    assert back.format_known
    assert back.tokenizer.fingerprint() == model.tokenizer.fingerprint()
    jax.tree.map(np.testing.assert_array_equal, back.params, params)


def test_device_arrays_export_as_host_arrays_do(model, tmp_path):
    params = jax.tree.map(jnp.asarray, model.params)
    export(
        tmp_path / "a", config=model.config, params=params, format=FORMAT, tokenizer=model.tokenizer
    )
    assert load(tmp_path / "a").weights_sha256 == model.weights_sha256


def test_an_earlier_export_is_replaced_and_nothing_else_remains(model, tmp_path):
    export_of(model, tmp_path / "out", projection=5)
    export_of(model, tmp_path / "out")
    assert load(tmp_path / "out").config.projection is None
    assert not (tmp_path / "out" / "2_Dense").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name != "tiny"] == ["out"]


def test_a_directory_of_something_else_is_left_alone(model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is no exported model"):
        export_of(model, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_a_failed_export_leaves_the_earlier_one(model, tmp_path):
    export_of(model, tmp_path / "out")
    broken = {"document": {"encoder": {}}}
    with pytest.raises(KeyError):
        export(
            tmp_path / "out",
            config=model.config,
            params=broken,
            format=FORMAT,
            tokenizer=model.tokenizer,
        )
    assert load(tmp_path / "out").weights_sha256 == model.weights_sha256
    assert [path.name for path in tmp_path.iterdir() if path.name != "tiny"] == ["out"]


def test_the_card_says_how_queries_are_written(model, tmp_path):
    export_of(model, tmp_path / "out", tied=False)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "`query [SEP] instruction`, cut at 9 tokens" in text
    assert "/query" in text


def test_files_that_disagree_are_an_error(model, tmp_path):
    export_of(model, tmp_path / "out")
    path = tmp_path / "out" / "1_Pooling" / "config.json"
    swapped = path.read_text().replace('mean_tokens": true', 'mean_tokens": false')
    path.write_text(swapped.replace('cls_token": false', 'cls_token": true'))
    with pytest.raises(InputError, match="make them agree"):
        load(tmp_path / "out")


@pytest.mark.parametrize("changes", VARIANTS)
def test_sentence_transformers_embeds_as_we_do(model, tmp_path, changes):
    library = pytest.importorskip("sentence_transformers")
    export_of(model, tmp_path / "out", **changes)
    theirs = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert theirs.max_seq_length == FORMAT.document_length
    ours = load(tmp_path / "out")
    # float32 sums in another order; entries of size 1 to 3
    np.testing.assert_allclose(theirs.encode(TEXTS), embed(ours), atol=1e-5)
    assert np.abs(theirs.encode(TEXTS[::-1]) - embed(ours)).max() > 0.01


def test_automodel_loads_the_encoder(model, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    export_of(model, tmp_path / "out", normalize=True)
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    feed = words(TEXTS, padding=True, truncation=True, max_length=15, return_tensors="pt")
    with torch.inference_mode():
        hidden = theirs(**feed).last_hidden_state
    weights = feed["attention_mask"][..., None]
    mean = (hidden * weights).sum(1) / weights.sum(1)
    expected = torch.nn.functional.normalize(mean).numpy()
    np.testing.assert_allclose(embed(load(tmp_path / "out")), expected, atol=1e-5)
