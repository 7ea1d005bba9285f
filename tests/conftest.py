"""Eight simulated devices, strict shapes, and the folder of real collections."""

import json
import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

NO_DATA = "TART_JAX_TEST_DATA is not set: it names the folder of real test collections"
SKIPPED = "skipped for want of real collections"
skipped_for_data: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=10, help="of tests/test_kills.py, in all")


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory) -> None:
    """Commands keep their programs in a folder of the tests, not in the user's cache."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real collections; tests that need it skip, counted, where it is not named."""
    folder = os.environ.get("TART_JAX_TEST_DATA")
    if not folder:
        pytest.skip(NO_DATA)
    path = Path(folder).resolve()
    if not (path / "nfcorpus").is_dir():
        pytest.fail(f"TART_JAX_TEST_DATA={folder} holds no nfcorpus folder")
    return path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Any test over real collections that skips is marked, whatever its reason."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and "test_data" in getattr(item, "fixturenames", ()):
        report.user_properties.append((SKIPPED, item.nodeid))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts them where the summary is written: tests may run in several processes."""
    skipped_for_data.extend(node for name, node in report.user_properties if name == SKIPPED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"tests on real collections skipped: {len(skipped_for_data)}")
    if skipped_for_data and os.environ.get("TART_JAX_TEST_DATA"):
        terminalreporter.write_line(
            f"ERROR: they skipped although TART_JAX_TEST_DATA is set: {skipped_for_data}", red=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if skipped_for_data and os.environ.get("TART_JAX_TEST_DATA"):
        session.exitstatus = 1


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a random one-layer model with a vocabulary of letters and a few words."""
    from tart_jax.data.tokenization import Tokenizer
    from tart_jax.models import dual_encoder, pretrained
    from tart_jax.models.bert import BertConfig

    folder = tmp_path_factory.mktemp("tiny")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    bert = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    config = dual_encoder.DualEncoderConfig(encoder=bert, normalize=True)
    pretrained.export(
        folder / "model",
        config=config,
        params=dual_encoder.init(config, jax.random.key(1)),
        format=pretrained.Format(query_length=32, document_length=48),
        tokenizer=Tokenizer.load(folder),
    )
    return folder / "model"


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    """A BEIR folder of 20 documents, 8 queries and their judgements."""
    folder = tmp_path_factory.mktemp("corpus")
    names = (
        "oak elm ash fir yew bay fig nut ivy rye oat hop tea rue box may bee cow dog ant".split()
    )
    with (folder / "corpus.jsonl").open("w") as file:
        for number, name in enumerate(names):
            text = f"the {name} " + "stands in the field " * (number % 4)
            line = {"_id": f"d{number}", "title": name if number % 2 else "", "text": text.strip()}
            file.write(json.dumps(line) + "\n")
    with (folder / "queries.jsonl").open("w") as file:
        for number in range(8):
            file.write(
                json.dumps({"_id": f"q{number}", "text": f"where is the {names[number]}"}) + "\n"
            )
    (folder / "qrels").mkdir()
    rows = "".join(f"q{number}\td{number}\t1\n" for number in range(8))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return folder


@pytest.fixture(scope="session")
def make_seq2seq(tmp_path_factory):
    """Writes a tiny T5 of scripts/reference/make_seq2seq_scores.py: its folder, and all arrays."""
    import numpy as np
    import safetensors.numpy

    def make(name: str = "gated", drop: str = "nothing", **config):
        with np.load(Path(__file__).parent / f"models/data/seq2seq_{name}.npz") as file:
            arrays = dict(file)
        folder = tmp_path_factory.mktemp(name)
        tensors = {
            key.removeprefix("weight/"): value.astype(np.float32)
            for key, value in arrays.items()
            if key.startswith("weight/") and not key.startswith(f"weight/{drop}")
        }
        safetensors.numpy.save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text(
            json.dumps(json.loads(str(arrays["config"])) | config), "utf-8"
        )
        (folder / "tokenizer.json").write_text(str(arrays["tokenizer"]), "utf-8")
        return folder, arrays

    return make
