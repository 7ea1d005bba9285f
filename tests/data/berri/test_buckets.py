"""Records sorted on disk."""

import hashlib

from tart_jax.data.berri import buckets
from tart_jax.data.berri.buckets import Buckets


def filled(folder, records):
    made = Buckets(folder, "train")
    for key, value in records:
        made.add(key, value)
    return made


def test_records_come_back_in_the_order_of_their_hashes_whatever_order_they_came_in(tmp_path):
    records = [(f"key {i}", f"value {i}".encode()) for i in range(2000)]
    forth, back = filled(tmp_path / "a", records), filled(tmp_path / "b", records[::-1])
    settled = forth.settle(bytes.upper)
    assert settled == back.settle(bytes.upper)
    read = list(forth.read())
    assert read == list(back.read())
    assert {value for _, value in read} == {value.upper() for _, value in records}
    hashes = [number for number, _ in read]
    assert hashes == sorted(hashes) and hashes[-1] == settled.largest
    assert (settled.records, settled.size) == (2000, sum(len(value) for _, value in records))


def test_the_hash_is_that_of_tfds(tmp_path):
    made = filled(tmp_path / "a", [("a\\b", b"x")])
    made.settle(bytes)
    expected = int(hashlib.md5(b"traina\\b").hexdigest(), 16)
    assert list(made.read()) == [(expected, b"x")]


def test_a_key_is_given_once_with_its_smallest_value(tmp_path):
    made = filled(tmp_path / "a", [("k", b"b"), ("k", b"a"), ("k", b"c"), ("l", b"")])
    assert made.settle(bytes).records == 2
    assert sorted(value for _, value in made.read()) == [b"", b"a"]


def test_more_than_the_buffer_goes_to_disk_and_is_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "BUFFER", 1000)
    made = filled(tmp_path / "a", [(str(i), b"x" * 50) for i in range(500)])
    assert len(list((tmp_path / "a").iterdir())) > 100  # before it is settled
    assert made.settle(bytes).records == 500 == len(list(made.read()))
