"""A scanned T5 cross-encoder, its weights divided by TART-full's rules, from folder to folder."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from tart_jax import config as config_files
from tart_jax import io
from tart_jax.data.tokenization import Tokenizer
from tart_jax.models import checkpoint_layouts, checkpoint_params, cross_encoder, pretrained_cross
from tart_jax.models.cross_encoder import CrossEncoderConfig
from tart_jax.models.cross_format import CrossFormat
from tart_jax.models.t5 import T5Config
from tart_jax.train import run as stage

T5 = T5Config(
    vocab_size=64, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4,
    feed_forward_proj="gated-gelu", tie_word_embeddings=False,
)  # fmt: skip

# tokens, mask and types of two pairs
PAIRS = (
    jnp.arange(24).reshape(2, 12) + 3, jnp.ones((2, 12), bool), jnp.zeros((2, 12), int)
)  # fmt: skip


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory, model_directory) -> Path:
    """TART-full's layout in tiny, random, with the tokenizer of the tests' BERT."""
    folder = tmp_path_factory.mktemp("t5") / "model"
    config = CrossEncoderConfig(T5, scan=True)
    pretrained_cross.export_cross(
        folder,
        config=config,
        params=jax.device_get(cross_encoder.init(config, jax.random.key(0))),
        format=CrossFormat(max_length=16, start_token=2),
        tokenizer=Tokenizer.load(model_directory),
    )
    return folder


@pytest.fixture(scope="module")
def settings(t5_folder, train_file):
    """TART-full's config, in small: two updates of two micro-batches each."""
    config = config_files.load("configs/train/tart_full.py").copy_and_resolve_references()
    changes = {
        "model.source": str(t5_folder), "model.new_head": False, "data.train": str(train_file),
        "data.batch_size": 4, "data.num_negatives": 1, "data.pair_length": 16, "data.workers": 0,
        "optimizer.accumulation": 2, "optimizer.peak_lr": 1e-3, "optimizer.warmup_steps": 0,
        "steps": 2, "log.every": 1, "log.tensorboard": False,
    }  # fmt: skip
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, settings) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "t5"
    stage.run(settings, workdir)
    return workdir


@pytest.mark.slow
def test_weights_go_to_the_rules_places_as_they_are_read(settings):
    mesh = stage.distributed.make_mesh(settings.mesh.to_dict())
    model = stage.load_model(settings, mesh)
    kernel = model.params["encoder"]["stack"]["layers"]["output"]["up"]["kernel"]
    assert {part.data.shape for part in kernel.addressable_shards} == {(2, 16, 3)}
    assert isinstance(stage.load_model(settings).params["classifier"]["kernel"], np.ndarray)


@pytest.mark.slow
def test_a_trained_scanned_model_is_read_back_equal_stacked_or_not(finished, t5_folder):
    result = io.read_json(finished / "result.json")
    stacked, apart = (
        pretrained_cross.load(finished / "model", scan=scan) for scan in (True, False)
    )
    assert stacked.weights_sha256 == apart.weights_sha256 == result["weights_sha256"]
    assert stacked.weights_sha256 != pretrained_cross.load(t5_folder).weights_sha256
    assert stacked.format == CrossFormat(separator="[SEP]", max_length=16, start_token=2)
    scores = [
        cross_encoder.logits(
            cross_encoder.graphdef(model.config), model.params,
            *PAIRS,
        )
        for model in (stacked, apart)
    ]  # fmt: skip
    # float32: XLA fuses the layers of a scan and those apart differently
    np.testing.assert_allclose(*scores, atol=1e-6)


@pytest.mark.slow
def test_import_then_export_is_the_identity_of_a_trained_model(finished, t5_folder):
    model = pretrained_cross.load(finished / "model", scan=True)
    out = checkpoint_params.write(model.params, checkpoint_layouts.NAMES["enc_t5"], model.config)
    want = load_file(finished / "model" / "model.safetensors")
    assert out.keys() == want.keys()
    assert all(np.array_equal(out[name], want[name]) for name in want)
    start = load_file(t5_folder / "model.safetensors")
    assert not any(np.array_equal(start[name], want[name]) for name in want)


@pytest.mark.slow
def test_transformers_reads_the_encoder_of_a_trained_model(finished):
    torch, transformers = map(pytest.importorskip, ("torch", "transformers"))
    theirs = transformers.T5EncoderModel.from_pretrained(finished / "model").eval()
    model = pretrained_cross.load(finished / "model", scan=True)
    tokens = np.array(PAIRS[0])
    with torch.no_grad():
        hidden = theirs(torch.from_numpy(tokens)).last_hidden_state[:, 0].numpy()
    ours = cross_encoder.logits(
        cross_encoder.graphdef(model.config), model.params,
        *PAIRS,
    )  # fmt: skip
    head = model.params["classifier"]
    np.testing.assert_allclose(hidden @ head["kernel"] + head["bias"], ours, atol=1e-5)
