"""The audit finds every planted fault, nothing in clean data, and its repair mends what it says."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tart_jax import config as configs
from tart_jax.data import examples
from tart_jax.data.audit.faults import FAULTS
from tart_jax.data.audit.run import Settings, audit, run
from tart_jax.data.audit.spill import Spill
from tart_jax.types import InputError


def counts_of(result) -> dict[str, int]:
    return {fault["fault"]: fault["count"] for fault in result["faults"]}


def counts(found) -> dict[str, int]:
    return counts_of(found.result)


@pytest.fixture
def settings(tmp_path, planted) -> Settings:
    return Settings(
        instructions=str(planted.write_table(tmp_path / "table.tsv")),
        test=(str(planted.write_test(tmp_path / "test")),),
        ngrams=13,
    )


@pytest.fixture
def faulty(tmp_path, planted):
    return planted.write(tmp_path / "faulty.jsonl", planted.faulty()[0])


def test_every_planted_fault_is_counted_exactly(faulty, settings, planted):
    assert counts(audit(faulty, settings)) == planted.COUNTS


def test_every_fault_of_a_training_file_is_planted(planted):
    of_judgements = {name for name, fault in FAULTS.items() if fault.of == "judgements"}
    assert {name for name, count in planted.COUNTS.items() if not count} == of_judgements
    assert set(planted.COUNTS) == set(FAULTS)


def test_clean_data_have_no_fault(tmp_path, settings, planted):
    path = planted.write(tmp_path / "clean.jsonl", planted.clean())
    found = audit(path, settings)
    assert not any(counts(found).values())
    assert found.result["total"]["examples"] == 40
    one_fault = [*planted.clean(), planted.clean()[0]]
    path = planted.write(tmp_path / "clean.jsonl", one_fault)
    assert counts(audit(path, settings))["duplicate_example"] == 1


def test_places_name_file_and_line(faulty, settings):
    lines = faulty.read_text().splitlines()
    faults = {fault["fault"]: fault for fault in audit(faulty, settings).result["faults"]}
    for fault in faults.values():
        assert len(fault["first"]) == min(fault["count"], settings.shown), fault["fault"]
    (place,) = faults["trailing_separator"]["first"]
    number = int(place["where"].removeprefix(f"{faulty}: line "))
    assert "Find it. [SEP] " in json.loads(lines[number - 1])["query"]
    copies = [place["where"] for place in faults["duplicate_example"]["first"]]
    numbers = [int(where.rpartition(" ")[2]) for where in copies]
    assert [json.loads(lines[number - 1])["query_id"] for number in numbers] == ["q120-1", "q120-2"]
    first = next(n for n, line in enumerate(lines, 1) if '"q120"' in line)
    assert f"line {first}" in faults["duplicate_example"]["first"][0]["excerpt"]
    changed = faults["conflicting_duplicate"]["first"][0]
    assert "q125-1" in lines[int(changed["where"].rpartition(" ")[2]) - 1]


def test_repair_mends_what_it_says_and_leaves_a_file_that_training_reads(
    tmp_path, faulty, settings, planted
):
    found = audit(faulty, settings, tmp_path / "out", repaired=True)
    path = tmp_path / "out" / "repaired.jsonl"
    read = list(examples.read(path))
    assert len(read) == found.result["repaired"]["examples"]
    again = counts(audit(path, settings))
    for name, fault in FAULTS.items():
        if fault.repair:
            assert again[name] == 0, name
    kept = {"mojibake", "special_in_document", "conflicting_duplicate", "missing_instruction"}
    assert all(again[name] == planted.COUNTS[name] for name in kept)
    changes = found.result["repaired"]["changes"]
    mended = {name: planted.COUNTS[name] for name, fault in FAULTS.items() if fault.repair}
    assert changes == {name: count for name, count in mended.items() if count} | {
        "last_positive": 1
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"repaired.jsonl"}


def test_repair_keeps_a_teachers_scores(tmp_path, planted):
    record = planted.clean()[0]
    record["positives"][0] |= {"score": 0.75, "text": "an oak\x07 tree of the wood"}
    record["negatives"][0]["score"] = -2.0
    path = planted.write(tmp_path / "scored.jsonl", [record])
    audit(path, Settings(), tmp_path / "out", repaired=True)
    (example,) = examples.read(tmp_path / "out" / "repaired.jsonl")
    assert set(example.scores.values()) == {0.75, -2.0}
    assert example.positives[0].text == "an oak tree of the wood"


def test_repair_of_clean_data_changes_nothing(tmp_path, settings, planted):
    path = planted.write(tmp_path / "clean.jsonl", planted.clean())
    found = audit(path, settings, tmp_path / "out", repaired=True)
    assert found.result["repaired"]["changes"] == {}
    assert list(examples.read(tmp_path / "out" / "repaired.jsonl")) == list(examples.read(path))


def test_what_repair_makes_equal_is_one_example(tmp_path, planted):
    twins = [planted.example(1), planted.example(1, query="what is told \x00of number 1")]
    path = planted.write(tmp_path / "twins.jsonl", twins)
    found = audit(path, Settings(), tmp_path / "out", repaired=True)
    assert found.result["repaired"]["examples"] == 1


def test_counts_on_disk_equal_those_in_memory(tmp_path, settings, monkeypatch, planted):
    """A limit of no bytes sends every block of the tables to disk."""
    records = planted.faulty()[0]
    path = planted.write(tmp_path / "faulty.jsonl", records)
    in_memory = audit(path, settings).result
    monkeypatch.setattr("tart_jax.data.audit.run.MEBIBYTE", 0)
    monkeypatch.setattr("tart_jax.data.audit.spill._BLOCK", 16)
    on_disk = audit(path, settings).result
    assert on_disk["spilled"] and not in_memory["spilled"]
    same = ("tasks", "total", "faults", "shares", "kinds")
    assert {key: on_disk[key] for key in same} == {key: in_memory[key] for key in same}
    # The broken twin: tables that lose every second bucket.
    whole = Spill.groups
    monkeypatch.setattr(
        Spill, "groups", lambda self: (part for n, part in enumerate(whole(self)) if n % 2)
    )
    broken = audit(path, settings).result
    assert {key: broken[key] for key in same} != {key: in_memory[key] for key in same}


def test_the_sample_is_the_same_at_every_run_and_in_any_order(tmp_path, planted):
    records = planted.clean()
    one = planted.write(tmp_path / "one.jsonl", records)
    turned = planted.write(tmp_path / "turned.jsonl", records[::-1])

    def queries(path, seed):
        instances = audit(path, Settings(sample=3, seed=seed)).instances
        return [text.splitlines()[1] for text in instances]

    assert len(queries(one, 0)) == 6
    assert queries(one, 0) == queries(one, 0) == queries(turned, 0)
    assert queries(one, 0) != queries(one, 1)


def test_the_page_escapes_every_text(tmp_path, planted):
    evil = "<script>alert(1)</script>"
    record = planted.example(
        1,
        f"task{evil}",
        query=f"nan [SEP] {evil}",
        positives=[planted.doc(1, f"id{evil}", text=f"{evil} Ã©")],
    )
    path = planted.write(tmp_path / f"{evil.replace('/', '')}.jsonl", [record, f'{{"{evil}'])
    table = tmp_path / "t.tsv"
    table.write_text(
        f"task\tintent\tdomain\tunit\tinstruction_1\ntask{evil}\t\tdomain {evil}\tunit {evil}\tx\n"
    )
    config = configs.load("configs/audit/default.py", [
        f"--config.path={path}", "--config.sample=1", f"--config.instructions={table}",
        "--config.repair=True",
    ])  # fmt: skip
    run(config, tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "&lt;script&gt;alert" in page
    assert "<script" not in page.lower()
    assert page.count("data:image/png;base64,") == 3
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["total"]["examples"] == 1


def test_without_a_workdir_only_the_terminal_is_written_to(tmp_path, capsys, monkeypatch, planted):
    path = planted.write(tmp_path / "faulty.jsonl", planted.faulty()[0])
    before = set(tmp_path.iterdir())
    config = configs.load("configs/audit/default.py", [f"--config.path={path}"])
    run(config, None)
    out = capsys.readouterr().out
    assert "What there is" in out and "Not checked: missing instructions" in out
    assert set(tmp_path.iterdir()) == before


def test_bad_settings_are_refused(tmp_path, tiny_corpus, planted):
    path = planted.write(tmp_path / "clean.jsonl", planted.clean(4))
    load = configs.load
    for words, said in (
        ([], "the data to audit are missing"),
        ([f"--config.path={path}", "--config.repair=True"], "--workdir=FOLDER is missing"),
        ([f"--config.path={path}", "--config.memory_mb=0"], "config.memory_mb is 0"),
        ([f"--config.path={path}", "--config.ngrams=1"], "config.ngrams is 1"),
        ([f"--config.path={tmp_path / 'none'}"], "none does not exist"),
        ([f"--config.path={path}", f"--config.test={tmp_path / 'none'}"], "none does not exist"),
    ):
        with pytest.raises(InputError, match=said):
            run(load("configs/audit/default.py", words), None)
    with pytest.raises(InputError, match="holds no training file to repair"):
        audit(tiny_corpus, Settings(), tmp_path, repaired=True)


def test_a_mixture_counts_all_its_sources(tmp_path, tiny_corpus, planted):
    folder = tmp_path / "mixture"
    folder.mkdir()
    planted.write(folder / "one.jsonl", planted.clean(6))
    (folder / "beir").symlink_to(tiny_corpus)
    result = audit(folder, Settings()).result
    assert [source["layout"] for source in result["sources"]] == ["beir", "jsonl"]
    assert result["tasks"]["beir"]["corpus"] == 20
    assert result["total"]["examples"] == 6
    assert result["total"]["queries"] == 14


def test_judgements_are_checked_against_the_folder(tmp_path, planted):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    planted.write(
        folder / "queries.jsonl", [{"_id": f"q{n}", "text": f"who {n % 2}"} for n in (1, 2, 3)]
    )
    texts = {"d1": "the same", "d2": "The  same", "d3": "another", "d4": "a fourth"}
    planted.write(folder / "corpus.jsonl", [{"_id": k, "text": v} for k, v in texts.items()])
    rows = ["q1\td1\t1", "q1\td2\t0", "q1\td3\t0", "q2\td3\t1", "q9\td1\t1", "q2\td9\t1"]
    header = "query-id\tcorpus-id\tscore"
    (folder / "qrels" / "test.tsv").write_text("\n".join([header, *rows]) + "\n")
    result = audit(folder, Settings()).result
    faults = {fault["fault"]: fault for fault in result["faults"]}
    assert faults["dangling_judgement"]["count"] == 2
    assert faults["dangling_judgement"]["first"][0]["where"].endswith("test.tsv: line 6")
    assert faults["conflicting_judgement"]["count"] == 2
    assert faults["duplicate_document"]["count"] == 1
    assert faults["duplicate_query"]["count"] == 1
    assert result["kinds"]["set"] == {"texts": 3, "positives": 2, "negatives": 2, "shunned": False}


class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The given records as a TFDS set."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # there are no checksums to look for
    records: list[dict] = []

    def _info(self):
        document = {name: tfds.features.Text() for name in ("doc_id", "title", "text")}
        features = {name: tfds.features.Text() for name in ("task", "query_id", "query")}
        features |= {name: tfds.features.Sequence(document) for name in examples.DOCUMENT_FIELDS}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield from enumerate(self.records)

    def _log_download_bytes(self):
        pass

    _log_download_done = _log_download_bytes


def test_a_tfds_folder_is_audited_as_the_file_it_was_made_of(tmp_path, planted, monkeypatch):
    records = [*planted.clean(6), planted.example(50, query="nan [SEP] what of 50")]
    path = planted.write(tmp_path / "file.jsonl", records)
    monkeypatch.setattr(Made, "records", records)
    tfds.disable_progress_bar()
    Made(data_dir=tmp_path / "set").download_and_prepare(file_format="array_record")
    made, read = (audit(p, Settings()).result for p in (tmp_path / "set", path))
    assert made["sources"][0]["layout"] == "tfds"
    assert made["total"] == read["total"]
    assert counts_of(made) == counts_of(read)
    assert counts_of(made)["nan_instruction"] == 1


def test_histogram_memory_is_bounded_by_the_sample():
    from tart_jax.data.audit.statistics import Sample

    sample = Sample(10, len)
    draw = np.random.default_rng(0)
    for _ in range(1000):
        sample.add(draw.bytes(8), "a text")
    assert len(sample.tokens()) == 10


def test_an_instruction_table_goes_to_its_linter(tmp_path, planted, capsys):
    table = tmp_path / "table.tsv"
    table.write_text("task\tintent\tdomain\tunit\tinstruction_1\na\tfind\tweb\tpage\tnan\n")
    config = configs.load("configs/audit/default.py", [f"--config.path={table}"])
    run(config, tmp_path / "out")
    faults = json.loads((tmp_path / "out" / "audit.json").read_text())["faults"]
    assert any("nan" in fault for fault in faults)
    assert f"{len(faults)} faults" in capsys.readouterr().out


def test_a_text_of_planted_latin_1_is_read_as_utf_8_by_repair(tmp_path, planted):
    text = "three — times".encode().decode("latin-1")
    path = planted.write(tmp_path / "t.jsonl", [planted.example(1, query=text)])
    audit(path, Settings(), tmp_path / "out", repaired=True)
    assert next(examples.read(tmp_path / "out" / "repaired.jsonl")).query == "three — times"


def test_real_collections_are_read_whole(test_data):
    result = audit(test_data / "nfcorpus", Settings()).result
    assert result["total"]["queries"] == 3237 and result["total"]["corpus"] == 3633
    found = counts_of(result)
    assert found["dangling_judgement"] == found["malformed"] == found["conflicting_id"] == 0
    assert found["duplicate_document"] > 0
