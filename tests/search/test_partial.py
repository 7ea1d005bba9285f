"""A run that grows block by block: what a kill leaves, and who may continue it."""

import pytest

from tart_jax import io
from tart_jax.search.partial import PartialFile
from tart_jax.types import InputError

MADE_FROM = {"weights_sha256": "ab", "k": 10, "instruction": None}
BLOCKS = [["q0 Q0 d1 1 2 t\n", "q0 Q0 d2 2 1 t\n"], ["q1 Q0 d1 1 1 t\n"]]


def append(partial, block):
    partial.append(block, queries=1, seconds=0.5, counts={"pairs": len(block)})


def test_blocks_become_a_run_with_its_description(tmp_path):
    partial = PartialFile(tmp_path / "new", MADE_FROM)
    for block in BLOCKS:
        append(partial, block)
    partial.finish({"first_stage": None})
    assert (tmp_path / "new" / "run.trec").read_text() == "".join(sum(BLOCKS, []))
    about = io.read_json(tmp_path / "new" / "run.json")
    assert about == MADE_FROM | {
        "first_stage": None, "bytes": 45, "queries": 2, "pairs": 3, "seconds": 1.0
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["run.json", "run.trec"]
    assert partial.complete and PartialFile(tmp_path / "new", MADE_FROM).complete
    assert not PartialFile(tmp_path / "new", MADE_FROM | {"k": 5}).complete


@pytest.mark.parametrize("torn", ["", "q1 Q0 d1 1", "q1 Q0 d1 1 1 t\n"])
def test_what_a_kill_left_after_the_last_block_is_dropped(tmp_path, torn):
    append(PartialFile(tmp_path, MADE_FROM), BLOCKS[0])
    with (tmp_path / "partial.trec").open("a") as file:
        file.write(torn)
    again = PartialFile(tmp_path, MADE_FROM)
    assert again.queries == 1 and again.seconds == 0.5
    append(again, BLOCKS[1])
    again.finish({})
    assert (tmp_path / "run.trec").read_text() == "".join(sum(BLOCKS, []))


@pytest.mark.parametrize("name", ["run.trec", "run.json", "partial.json"])
def test_a_kill_at_the_very_end_is_made_good(tmp_path, monkeypatch, name):
    """`name`: the last file that the killed process dealt with."""
    partial = PartialFile(tmp_path, MADE_FROM)
    append(partial, sum(BLOCKS, []))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if name == "run.trec":
            patched.setattr(io, "write_json", killed)
        else:
            unlink = type(tmp_path).unlink

            def stop(path, **options):
                if name == "run.json" or path.name == "partial.trec":
                    raise KeyboardInterrupt
                unlink(path, **options)

            patched.setattr(type(tmp_path), "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            partial.finish({})
    again = PartialFile(tmp_path, MADE_FROM)
    assert again.complete == (name == "partial.json")
    if not again.complete:
        again.finish({})
    assert (tmp_path / "run.trec").read_text() == "".join(sum(BLOCKS, []))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.trec"]


def test_another_identity_is_refused_unless_overwritten(tmp_path):
    append(PartialFile(tmp_path, MADE_FROM), BLOCKS[0])
    for other, said in (
        ({"k": 5}, r"another k than is given now \(10, now 5\)"),
        ({"instruction": "find"}, r"another instruction .*None, now 'find'"),
        ({"more": 1}, "another more"),
    ):
        with pytest.raises(InputError, match=said):
            PartialFile(tmp_path, MADE_FROM | other)
    assert PartialFile(tmp_path, MADE_FROM).queries == 1
    assert PartialFile(tmp_path, MADE_FROM | {"k": 5}, overwrite=True).queries == 0
    with pytest.raises(InputError, match="another k"):
        PartialFile(tmp_path, MADE_FROM)


def test_a_shortened_file_is_refused(tmp_path):
    append(PartialFile(tmp_path, MADE_FROM), BLOCKS[0])
    (tmp_path / "partial.trec").write_text("q0")
    with pytest.raises(InputError, match="has 2 bytes, fewer than the 30 of its finished blocks"):
        PartialFile(tmp_path, MADE_FROM)
