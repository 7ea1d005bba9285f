"""The plan of a training: near what XLA allocates, and told in a table."""

import json
import re

import jax
import pytest

from tart_jax import config as configs
from tart_jax import distributed, hardware
from tart_jax.models.bart_config import BartConfig
from tart_jax.models.bert import BertConfig
from tart_jax.models.t5_config import T5Config
from tart_jax.train import initial, plan, plan_run, plan_shapes
from tart_jax.types import InputError

SMALL = BertConfig(hidden_size=384, num_hidden_layers=2, num_attention_heads=12,
                   intermediate_size=1536, vocab_size=2000)  # fmt: skip
MINILM = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                    intermediate_size=1536, vocab_size=30_522)  # fmt: skip
BASE = BertConfig()
T5_SMALL = T5Config(d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8)
PAIRS = ("objective.name=cross_pointwise", "data.batch_size=8", "data.num_negatives=4")
TWENTY = ("data.batch_size=24", "data.num_negatives=1")
CHUNKED = ("data.batch_size=256", "data.num_negatives=1", "objective.chunk_size=32")


BART = BartConfig(2000, 256, 2, 2, 4, 4, 1024, 1024)
READING = ("objective.name=reading", "data.batch_size=32", "data.pair_length=96",
           "data.answer_length=24", "data.passages=2")  # fmt: skip
FUSED = (*READING, "data.fusion=True")


def settings(words):
    return configs.load("configs/train/default.py", [f"--config.{word}" for word in words])


def both(shape, words):
    """(bytes by the plan, bytes by XLA) of a step on one device."""
    config = settings(words)

    shape = initial.with_dropout(shape, config.model.dropout)
    mesh = distributed.make_mesh({"data": 1}, jax.devices()[:1])
    state, step, batch = plan_shapes.abstract(config, shape, True, mesh)
    program = plan.compile_step(
        step, state, batch, prng=config.prng, mesh=mesh, options=plan.FOR_MEMORY
    )
    found = plan.memory(program)
    return plan_run.estimate(config, shape, True, mesh), found


def check(shape, words):
    ours, xla = both(shape, words)
    held = ours.parameters + ours.optimizer + ours.batch
    assert held == pytest.approx(xla["arguments"], rel=1e-2)
    # the bound that the plan promises (XLA chooses layouts, copies and order by itself)
    assert ours.total == pytest.approx(xla["arguments"] + xla["temporaries"], rel=0.15)
    assert ours.temporaries == pytest.approx(xla["temporaries"], rel=0.15)


@pytest.mark.parametrize("words", [TWENTY, CHUNKED], ids=["whole", "chunked"])
def test_the_plan_is_within_15_percent_of_xla_for_a_small_bert(words):
    check(SMALL, words)


@pytest.mark.slow
@pytest.mark.parametrize("words", [READING, FUSED], ids=["prepended", "fused"])
@pytest.mark.parametrize("shape", [BART, T5_SMALL], ids=["bart", "t5"])
def test_the_plan_of_a_reader_is_within_15_percent_of_xla(shape, words):
    check(shape, words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, words",
    [(MINILM, TWENTY), (MINILM, (*TWENTY, "model.dropout=0.0")), (MINILM, CHUNKED),
     (BASE, ("data.batch_size=16", "data.num_negatives=1")), (T5_SMALL, PAIRS)],
    ids=["minilm", "without dropout", "chunked", "bert-base", "t5-small"],
)  # fmt: skip
def test_the_plan_is_within_15_percent_of_xla(shape, words):
    check(shape, words)


def test_without_the_activations_the_plan_is_far_off():
    ours, xla = both(SMALL, TWENTY)
    assert ours.total - ours.temporaries < 0.5 * (xla["arguments"] + xla["temporaries"])


def run(tmp_path, *words):
    config = configs.load("configs/plan/default.py", [f"--config.{word}" for word in words])
    plan_run.run(config, tmp_path)
    return json.loads((tmp_path / "plan.json").read_text())


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL.to_hf()))
    return path


def test_the_table_tells_what_fits(tmp_path, small, capsys):
    record = run(tmp_path, f"shape={small}", "chips=H100,TPU v5e")
    said = capsys.readouterr().out
    assert "H100, 80 GB" in said and "TPU v5e, 16 GB" in said and "remat=layer" in said
    for known in record["ways"].values():
        totals = [known[queries] for queries in sorted(known, key=int)]
        assert totals == sorted(totals)
    configured, layer = (record["ways"][name] for name in ("as configured", "remat=layer"))
    assert configured["32"] == record["total"]
    assert layer["32"] < configured["32"]
    room = 0.9 * 16e9
    fits = max(int(q) for q, total in configured.items() if total <= room)
    (row,) = [line for line in said.splitlines() if "TPU v5e" in line]
    assert re.split(r"\s*[│┃|]\s*", row)[3] == f"{fits:,}"
    assert configured[str(2 * fits)] > room


def test_more_devices_need_less_each(tmp_path, small):
    one = run(tmp_path, f"shape={small}", "chips=")
    apart = ("train_options=('mesh.fsdp=8',)", "devices=8")
    eight = run(tmp_path, f"shape={small}", "chips=", *apart)
    assert eight["parameters"] < one["parameters"] / 4
    assert eight["temporaries"] < one["temporaries"] / 4
    assert eight["flops"] == one["flops"]


def test_the_encoder_is_read_from_its_source_without_weights(tmp_path):
    record = run(tmp_path, "chips=")  # MiniLM, of its package
    assert 22e6 < record["parameters"] / 4 < 23e6


def test_class_towers_are_refused(tmp_path):
    with pytest.raises(InputError, match="no class towers"):
        run(tmp_path, "train_options=('model.query_towers=(\"a=nq\",)',)")


def test_a_new_decoder_over_a_t5_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(T5_SMALL.to_hf()))
    with pytest.raises(InputError, match="the source is a T5"):
        run(tmp_path, f"shape={path}", "train=configs/train/kilt_reader.py")


def test_a_reader_is_planned_by_the_shape_of_its_source(tmp_path):
    record = run(tmp_path, "chips=H100", "train=configs/train/kilt_reader.py")
    two_layers_each_and_a_table = 2 * 1.77e6 + 2 * 2.37e6 + 30_522 * 385 + 4 * 514 * 384
    assert record["parameters"] / 4 == pytest.approx(two_layers_each_and_a_table, rel=0.02)
    assert set(record["ways"]) == {"as configured"}
    fused = ("data.fusion=True", "data.passages=4")
    four = run(tmp_path, "chips=", "train=configs/train/kilt_reader.py", f"train_options={fused}")
    assert four["parameters"] == record["parameters"] and four["flops"] > 2 * record["flops"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(BART.to_hf()))
    large = run(tmp_path, "chips=", "train=configs/train/reader.py", f"shape={path}",
                "train_options=('data.batch_size=8',)")  # fmt: skip
    assert large["optimizer"] == pytest.approx(2 * large["parameters"], rel=1e-3)


def test_mistakes_are_told(tmp_path, small):
    with pytest.raises(InputError, match=r"'h1000' is not known; there are .*H100"):
        run(tmp_path, "chips=H1000")
    with pytest.raises(InputError, match="config.devices is 0"):
        run(tmp_path, "devices=0")
    with pytest.raises(InputError, match="this process has only"):
        run(tmp_path, "devices=4096")
    with pytest.raises(InputError, match="config.room"):
        run(tmp_path, "room=0.0")
    with pytest.raises(InputError, match="multiple of 8"):
        run(tmp_path, "devices=8", "train_options=('data.batch_size=12',)")


def test_all_means_every_chip():
    assert plan_run.named("all") == list(hardware.CHIPS)
