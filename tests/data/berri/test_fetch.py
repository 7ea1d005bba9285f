"""Raw files: found, downloaded from a local server, verified; and every way that fails."""

import functools
import hashlib
import http.server
import threading

import pytest

from tart_jax.data.berri import fetch
from tart_jax.data.berri.task import Origin, Source
from tart_jax.types import InputError

CONTENT = b"".join(b"line %d\n" % number for number in range(500_000))
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/data: the content; /ranged: also from where one asks; /cut: breaks off; /page: HTML;
    /redirected: to /data."""

    def __init__(self, seen, *args):
        self.seen = seen
        super().__init__(*args)

    def do_GET(self):
        asked = self.headers.get("Range")
        self.seen.append((self.path, asked))
        if self.path == "/redirected":
            self.send_response(302)
            self.send_header("Content-Type", "text/html")
            self.send_header("Location", "/data")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path == "/moved":
            return self.send_error(404)
        begin = int(asked[6:-1]) if asked and self.path != "/data" else 0
        if begin and begin >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        kind = "text/html; charset=utf-8" if self.path == "/page" else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        self.wfile.write(CONTENT[begin : 2_000_000 if self.path == "/cut" else None])

    def log_message(self, *args):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *args):
        pass  # the client hung up


@pytest.fixture
def server():
    """(address, list of what was asked for)"""
    seen = []
    with Quiet(("127.0.0.1", 0), functools.partial(Handler, seen)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", seen
        running.shutdown()
        thread.join()


def origin(*sources):
    return Origin(sources, "CC0", "@misc{x}", "from memory", "ask the authors for set.txt.")


def source(url=None, size=5_888_890, sha=SHA, file="set.txt", unit="set.txt"):
    return Source(file, url, size, sha, unit)


def get(folder, *sources):
    return fetch.find("t", origin(*sources), folder, download=True)


def test_files_that_are_there_are_verified_and_grouped_by_unit(tmp_path):
    (tmp_path / "t").mkdir()
    for name in "abc":
        (tmp_path / "t" / name).write_text(name)
    rows = [source(size=1, sha=None, file=name, unit=unit) for name, unit in ("a1", "b2", "c1")]
    found = fetch.find("t", origin(*rows), tmp_path, download=False)
    assert [[path.name for path in unit] for unit in found.units] == [["a", "c"], ["b"]]
    sha = hashlib.sha256(b"a").hexdigest()
    assert found.sources[0] == {"file": "a", "url": None, "size": 1, "sha256": sha}


@pytest.mark.parametrize(
    "size,sha,said",
    [(4, None, "has 3 bytes, not the 4 known"), (3, "0" * 64, "has the sha256 .*, not the 00000")],
)
def test_a_file_of_another_size_or_checksum_is_refused_and_stays(tmp_path, size, sha, said):
    path = tmp_path / "t" / "set.txt"
    path.parent.mkdir()
    path.write_text("abc")
    with pytest.raises(InputError, match=said):
        fetch.find("t", origin(source(size=size, sha=sha)), tmp_path, download=False)
    assert path.exists()


def test_a_missing_file_is_named_with_the_way_to_get_it(tmp_path, server):
    url, seen = server
    for rows, download in (([source(f"{url}/data")], False), ([source()], True)):
        with pytest.raises(InputError, match="task t: set.txt not in .*t; ask the authors"):
            fetch.find("t", origin(*rows), tmp_path, download=download)
    assert seen == []


@pytest.mark.parametrize("path", ["/data", "/ranged"])
def test_a_file_is_downloaded_whole_and_nothing_else_is_left(tmp_path, server, path):
    found = get(tmp_path, source(server[0] + path))
    assert found.units[0][0].read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "t").iterdir()] == ["set.txt"]
    assert get(tmp_path, source(server[0] + path)) == found
    assert len(server[1]) == 1  # not again


@pytest.mark.parametrize("path,kept", [("/ranged", 1_000_000), ("/data", 1_000_000)])
def test_a_download_goes_on_where_it_broke_off_if_the_server_can(tmp_path, server, path, kept):
    part = tmp_path / "t" / "set.txt.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:kept])
    get(tmp_path, source(server[0] + path))
    assert (tmp_path / "t" / "set.txt").read_bytes() == CONTENT
    assert server[1] == [(path, f"bytes={kept}-")]


def test_a_partial_file_that_is_too_long_is_thrown_away(tmp_path, server):
    part = tmp_path / "t" / "set.txt.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    get(tmp_path, source(server[0] + "/ranged"))
    assert (tmp_path / "t" / "set.txt").read_bytes() == CONTENT


def test_a_download_that_breaks_off_is_refused_and_another_run_ends_it(tmp_path, server):
    with pytest.raises(InputError, match="could not be downloaded .* bytes are kept .* By hand"):
        get(tmp_path, source(server[0] + "/cut", sha=None, size=None))
    part = tmp_path / "t" / "set.txt.part"
    assert not (tmp_path / "t" / "set.txt").exists() and 0 < part.stat().st_size <= 2_000_000
    get(tmp_path, source(server[0] + "/ranged"))
    assert server[1][1][1].startswith("bytes=")
    assert (tmp_path / "t" / "set.txt").read_bytes() == CONTENT and not part.exists()


@pytest.mark.parametrize(
    "path,changes,said",
    [
        ("/moved", {}, "404"),
        ("/page", {"size": None, "sha": None}, "the answer is a web page"),
        ("/data", {"size": 5}, "is not what it was: .* 5,888,890 bytes, not the 5 known"),
        ("/data", {"sha": "0" * 64}, "is not what it was: .* sha256 .* not the 00000"),
    ],
)
def test_a_moved_or_changed_source_is_refused_with_the_way_by_hand(
    tmp_path, server, path, changes, said
):
    with pytest.raises(InputError, match=f"{said}.* By hand: ask the authors"):
        get(tmp_path, source(server[0] + path, **changes))
    assert list((tmp_path / "t").iterdir()) == []


def test_a_redirection_is_followed(tmp_path, server):
    assert get(tmp_path, source(server[0] + "/redirected")).units[0][0].read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="http://127.0.0.1:9/x could not be downloaded"):
        get(tmp_path, source("http://127.0.0.1:9/x"))
