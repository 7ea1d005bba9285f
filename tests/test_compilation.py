"""Compiled programs: where they are kept, and that every compilation is counted."""

import logging
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from tart_jax import compilation
from tart_jax.types import EndedError


def test_each_new_shape_counts_once():
    double = jax.jit(lambda x: x * 2 + 0.125)
    inputs = [jnp.ones(3), jnp.ones(5)]
    before = compilation.count()
    for x in (inputs[0], inputs[0], inputs[1], inputs[0]):
        double(x)
    assert compilation.count() - before == 2
    assert compilation.summary().startswith(f"{compilation.count()} programs were compiled")


def test_what_compiles_where_nothing_should_is_told_or_ends_the_run(caplog):
    triple, (x, y, z) = jax.jit(lambda x: x * 3 + 0.125), map(jnp.ones, (3, 4, 5))
    triple(x)
    with compilation.none_expected("a step", strict=True):
        triple(x)
    with caplog.at_level(logging.WARNING), compilation.none_expected("a step", strict=False):
        triple(y)
    assert "a step: 1 programs were compiled" in caplog.text
    expecting = compilation.none_expected("a step", strict=True)
    with pytest.raises(EndedError, match="a step: 1 programs"), expecting:
        triple(z)


def test_the_place_is_the_users_cache_unless_it_is_named_or_turned_off(tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    place = compilation.keep(environ)
    assert place.parent == tmp_path / "tart_jax" and place.name.startswith("compiled-")
    assert environ[compilation.PLACE] == str(place)
    named = {compilation.PLACE: "/somewhere"}
    assert str(compilation.keep(named)) == "/somewhere" and named[compilation.PLACE] == "/somewhere"
    off = {compilation.PLACE: ""}
    assert compilation.keep(off) is None and off == {}


SCRIPT = """
import os
from tart_jax import compilation
compilation.keep(os.environ)
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
compilation.count()
jax.jit(lambda x: x * 5 + 0.125)(1.0).block_until_ready()
print(hits.count("/jax/compilation_cache/cache_hits"), compilation.count())
"""


def test_a_second_run_finds_what_the_first_compiled(tmp_path):
    environ = {k: v for k, v in os.environ.items() if k != compilation.PLACE}
    environ |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert said[0][0] == "0" and int(said[1][0]) > 0
    assert said[0][1] == said[1][1] != "0"  # read or made, it is counted
