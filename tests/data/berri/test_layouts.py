import pytest

from tart_jax.data.berri import layouts
from tart_jax.data.berri.records import Unreadable
from tart_jax.data.berri.task import Dropped, Instance, Text
from tart_jax.types import InputError


def test_the_items_of_a_tree_come_before_its_broken_end(tmp_path):
    path = tmp_path / "tree.json"
    filler = '{"n": 0.5}, ' * 20_000  # more than the parser reads at once
    path.write_text('{"version": 1, "data": [{"n": 1}, ' + filler + "{broken")
    items = layouts.tree_items(path, "data.item")
    assert [next(items), next(items)] == [(1, {"n": 1}), (2, {"n": 0.5})]
    with pytest.raises(InputError, match=r"tree\.json: what follows record \d+ is not JSON"):
        list(items)


def test_the_members_of_a_tree_keep_their_names_and_order(tmp_path):
    path = tmp_path / "tree.json"
    path.write_text('{"b": {"n": 1}, "a": [2], "b": null}')
    assert list(layouts.tree_members(path)) == [
        (1, ("b", {"n": 1})),
        (2, ("a", [2])),
        (3, ("b", None)),
    ]


def test_a_part_that_fails_is_dropped_alone():
    def make(place, part):
        if part == "bad":
            raise Unreadable("bad part")
        if part == "late":
            return late(place)
        return Text(part)

    def late(place):
        yield Instance(place, "q", (Text("d"),))
        raise Unreadable("bad end")

    assert list(layouts.each("f:1", ["one", "bad", "late", "two"], "parts", make)) == [
        Text("one"),
        Dropped("f:1.2", "bad part"),
        Instance("f:1.3", "q", (Text("d"),)),
        Dropped("f:1.3", "bad end"),
        Text("two"),
    ]


@pytest.mark.parametrize("parts", [None, "one", {"a": 1}])
def test_parts_that_are_no_list_are_unreadable(parts):
    with pytest.raises(Unreadable, match="parts is no list"):
        list(layouts.each("f:1", parts, "parts", lambda place, part: Text(part)))


def test_a_file_is_not_set_beside_itself(tmp_path):
    path = tmp_path / "both.txt"
    path.write_text("a line\n")
    with pytest.raises(InputError, match=r"0 of these are named like 'source'"):
        list(layouts.parallel_lines((path,), "source", "target"))
    with pytest.raises(InputError, match=r"0 of these are named like 'target'"):
        list(layouts.parallel_lines((path,), "both.*", "target"))
