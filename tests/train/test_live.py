"""What is in memory at once, by hand for small programs."""

import jax
import jax.numpy as jnp

from tart_jax.train import live

ROW = 4 * 1000  # bytes


def peak(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return live.peak(jax.make_jaxpr(function)(*arguments), live.bytes_of)


def test_arguments_and_results_are_not_counted():
    assert peak(lambda x: x + 1, (1000,)) == 0


def test_what_one_reduction_reads_is_never_in_memory():
    assert peak(lambda x: jnp.sum(jnp.exp(x * 2 + 1)) + 1, (1000,)) <= 8


def test_the_operands_of_a_product_are_in_memory():
    def function(x, y):
        return jnp.sum(jnp.dot(x * 2, y + 1))

    # both operands, then the product beside them
    assert peak(function, (10, 100), (100, 10)) == 2 * ROW + 4 * 100


def test_a_costly_value_with_two_readers_is_in_memory_and_a_cheap_one_is_not():
    def twice(inner):
        def function(x):
            value = inner(x)
            total = jnp.sum(value)
            return jnp.sum(value * total)

        return function

    assert peak(twice(lambda x: x + 1), (1000,)) < ROW
    assert ROW <= peak(twice(jnp.exp), (1000,)) < ROW + 16


def test_of_a_loop_the_body_counts_once():
    def body(carry, row):
        return carry + jnp.sum(jnp.dot(row * 2, row.T * 3)), None

    def function(rows):
        return jax.lax.scan(body, jnp.float32(0), rows)[0] + 1

    once = peak(lambda row: body(jnp.float32(0), row)[0] + 1, (10, 10))
    assert once <= peak(function, (7, 10, 10)) <= once + 16


def test_what_a_checkpoint_computes_again_is_not_kept():
    def layer(x):
        return jnp.tanh(jnp.exp(x) @ jnp.ones((100, 100)))

    def loss(remat):
        def function(x):
            for _ in range(8):
                x = jax.checkpoint(layer)(x) if remat else layer(x)
            return jnp.sum(x)

        return jax.grad(function)

    assert peak(loss(True), (50, 100)) < 0.7 * peak(loss(False), (50, 100))


def test_bytes_are_those_on_a_device_as_the_caller_says():
    def function(x):
        return jnp.sum(jnp.dot(x * 2, x.T))

    program = jax.make_jaxpr(function)(jnp.zeros((10, 100)))
    assert 2 * live.peak(program, lambda aval: live.bytes_of(aval) // 2) == live.peak(
        program, live.bytes_of
    )
