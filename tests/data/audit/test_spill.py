"""Pairs come back grouped and sorted, from memory and from disk alike."""

import numpy as np
import pytest

from tart_jax.data.audit import spill
from tart_jax.data.audit.spill import Keys, Spill


def pairs(count: int = 1000) -> np.ndarray:
    """Many keys twice, over the whole range of 64 bits."""
    draw = np.random.default_rng(0)
    keys = draw.integers(0, 2**64, count // 2, np.uint64)
    return np.stack([np.tile(keys, 2), draw.integers(0, 2**64, count, np.uint64)], axis=1)


@pytest.mark.parametrize("limit,on_disk", [(1 << 20, False), (1000, True), (0, True)])
@pytest.mark.parametrize("part", [1 << 22, 500])
def test_groups_are_whole_and_ascending(tmp_path, monkeypatch, limit, on_disk, part):
    monkeypatch.setattr(spill, "_PART", part)
    table = Spill(tmp_path, "table", limit)
    for block in np.array_split(pairs(), 7):
        table.extend(block)
    assert table.spilled is on_disk
    parts = list(table.groups())
    ordered = np.concatenate(parts)
    expected = pairs()
    assert np.array_equal(ordered, expected[np.lexsort((expected[:, 1], expected[:, 0]))])
    for part, following in zip(parts, parts[1:], strict=False):
        assert part[-1, 0] < following[0, 0]
    assert not list(tmp_path.iterdir())


def test_digests_keep_their_high_bits_and_carry_a_small_number(tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "_BLOCK", 2)
    table = Spill(tmp_path, "table", 1 << 20)
    digests = [bytes([n] * 8) for n in range(5)]
    for n, digest in enumerate(digests):
        table.append(digest, n, digest, 4095)
    (part,) = table.groups()
    assert {tuple(row) for row in part.tolist()} == {
        (spill.number(digest, n), spill.number(digest, 4095)) for n, digest in enumerate(digests)
    }
    assert spill.number(b"\xff" * 8, 5) == 2**64 - 4096 + 5


def test_an_empty_table_has_no_groups(tmp_path):
    assert list(Spill(tmp_path, "table", 0).groups()) == []


@pytest.mark.parametrize("few", [0, 1 << 20])
def test_keys_are_found_again(tmp_path, monkeypatch, few):
    monkeypatch.setattr(spill, "_FEW", few)
    keys = Keys(tmp_path / "keys")
    assert 3 not in keys
    for part in ([1, 3], [2**64 - 1]):
        keys.extend(np.asarray(part, np.uint64))
    assert len(keys) == 3
    assert [number in keys for number in (0, 1, 2, 3, 2**64 - 1)] == [
        False,
        True,
        False,
        True,
        True,
    ]
