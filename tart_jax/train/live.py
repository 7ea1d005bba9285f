"""The arrays that a program holds at once, told from its jaxpr: nothing is compiled.

XLA fuses elementwise operations into those that read them, so that most of a jaxpr's values never
are in memory. What is: results of products, gathers, loops and sorts; what these read; and costly
functions (exp, erfc, ...) with several readers, which XLA computes once. The program's order is the
jaxpr's. Measured against XLA's own plan in tests/train/test_plan_run.py.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax import dtypes
from jax.extend import core

Aval = Any
Size = Callable[[Aval], int]  # bytes of an array on one device
# They give their operand another shape or place, not another value.
VIEWS = frozenset(
    "reshape squeeze expand_dims sharding_constraint optimization_barrier copy copy_p stop_gradient"
    " random_wrap random_unwrap pvary reduce_precision".split()
)
# XLA computes these once, however many read them (InstructionFusion::IsExpensive).
COSTLY = frozenset(
    "exp exp2 log log1p expm1 tanh erf erfc erf_inv logistic div rem sqrt rsqrt cbrt pow sin cos"
    " tan atan2".split()
)
# It computes these again for each reader.
CHEAP = frozenset(
    "add add_any sub mul neg max min select_n lt le gt ge eq ne and or not xor sign abs integer_pow"
    " square iota broadcast_in_dim transpose slice pad rev clamp is_finite floor ceil round"
    " shift_left shift_right_logical shift_right_arithmetic convert_element_type"
    " bitcast_convert_type".split()
)
REDUCTIONS = frozenset(
    "reduce_sum reduce_max reduce_min reduce_and reduce_or argmax argmin".split()
)
CALLS = {"closed_call": "call_jaxpr", "core_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
         "custom_vjp_call": "call_jaxpr", "jit": "jaxpr", "pjit": "jaxpr", "checkpoint": "jaxpr",
         "remat": "jaxpr", "remat2": "jaxpr"}  # fmt: skip
LOOPS = ("scan", "while", "cond")
FREE = ("broadcast_in_dim", "iota")  # they read next to nothing
DOUBLE = ("erf", "erfc")  # expanded into an exponential and a choice, both kept


class _Op(NamedTuple):
    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    inner: int  # bytes that a loop's body holds at once


class _Value(NamedTuple):
    bytes: int
    rank: int
    integer: bool


def peak(program: Any, size: Size) -> int:
    """The most bytes that a jaxpr's temporaries take at a time: not its arguments and results."""
    flat = _Flat(size)
    jaxpr = getattr(program, "jaxpr", program)
    inputs = [flat.new(v.aval) for v in (*jaxpr.constvars, *jaxpr.invars)]
    outputs = set(flat.add(jaxpr, inputs)) - {None}
    return _most(flat, *_fused(flat, outputs), outputs)


def bytes_of(aval: Aval) -> int:
    """The whole array."""
    dtype = getattr(aval, "dtype", None)
    if dtype is None:
        return 0
    item = 8 if dtypes.issubdtype(dtype, dtypes.prng_key) else dtype.itemsize
    return math.prod(aval.shape) * item


class _Flat:
    """A jaxpr with its calls written out: operations on numbered values."""

    def __init__(self, size: Size):
        self.values: list[_Value] = []
        self.ops: list[_Op] = []
        self._size = size

    def new(self, aval: Aval, times: int = 1) -> int:
        integer = str(getattr(aval, "dtype", "")) == "uint32"
        rank = len(getattr(aval, "shape", ()))
        self.values.append(_Value(times * self._size(aval), rank, integer))
        return len(self.values) - 1

    def add(self, jaxpr: Any, inputs: Sequence[int | None]) -> list[int | None]:
        """Appends the operations; the numbers of the results, None for constants."""
        names = dict(zip((*jaxpr.constvars, *jaxpr.invars), inputs, strict=True))

        def number(variable: Any) -> int | None:
            return None if isinstance(variable, core.Literal) else names[variable]

        for equation in jaxpr.eqns:
            name, reads = equation.primitive.name, [number(v) for v in equation.invars]
            inner = equation.params.get(CALLS.get(name, ""))
            if inner is not None:
                body = getattr(inner, "jaxpr", inner)
                known = [self.new(v.aval) for v in body.constvars]
                names.update(zip(equation.outvars, self.add(body, [*known, *reads]), strict=True))
            elif name in VIEWS and len(reads) == len(equation.outvars) and None not in reads:
                names.update(zip(equation.outvars, reads, strict=True))
            else:
                writes = [self.new(v.aval, 1 + (name in DOUBLE)) for v in equation.outvars]
                names.update(zip(equation.outvars, writes, strict=True))
                read = tuple(value for value in reads if value is not None)
                self.ops.append(_Op(name, read, tuple(writes), self._body(equation)))
        return [number(v) for v in jaxpr.outvars]

    def _body(self, equation: Any) -> int:
        if equation.primitive.name not in LOOPS:
            return 0
        inner = [
            part
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple | list) else (value,))
            if hasattr(part, "jaxpr")
        ]
        return max((peak(part, self._size) for part in inner), default=0)


def _fused(flat: _Flat, outputs: set[Any]) -> tuple[list[bool], list[bool]]:
    """(whether an operation is computed at all, whether only inside of those that read it)."""
    ops, values = flat.ops, flat.values
    maker = {value: place for place, op in enumerate(ops) for value in op.writes}
    used, fused, wanted = [False] * len(ops), [False] * len(ops), set(outputs)
    ends: list[set[int]] = [set() for _ in ops]  # the operations that an operation is fused into
    readers = defaultdict[int, list[int]](list)

    def large(value: int, rank: int) -> bool:
        free = value in maker and ops[maker[value]].name in FREE
        return not free and values[value].rank >= rank

    for place in reversed(range(len(ops))):
        op = ops[place]
        used[place] = any(value in wanted for value in op.writes)
        if not used[place]:
            continue
        wanted.update(op.reads)
        for value in set(op.reads):
            readers[value].append(place)
        ends[place] = {place}
        if op.name not in CHEAP and op.name not in COSTLY or op.writes[0] in outputs:
            continue
        written = values[op.writes[0]]
        after = readers[op.writes[0]]
        if any(ops[x].name not in CHEAP | COSTLY | REDUCTIONS for x in after):
            continue
        into = set().union(*(ends[reader] for reader in after))
        # Copies of it would read no more than it writes; of random bits XLA makes copies always.
        narrow = sum(large(value, written.rank) for value in op.reads) <= 1 or written.integer
        if len(into) == 1 or op.name in CHEAP and (narrow or op.name in FREE):
            fused[place], ends[place] = True, into
    return used, fused


def _most(flat: _Flat, used: list[bool], fused: list[bool], outputs: set[Any]) -> int:
    """The peak over the operations that are computed, one after the other."""
    ops, values = flat.ops, flat.values
    behind: dict[int, frozenset[int]] = {}  # what must be in memory for a value to be computed
    reads: dict[int, frozenset[int]] = {}
    last: dict[int, int] = {}
    nothing = frozenset[int]()
    for place, op in enumerate(ops):
        if not used[place]:
            continue
        needed = nothing.union(*(behind.get(value, {value}) for value in op.reads))
        if fused[place]:
            behind[op.writes[0]] = needed
            continue
        reads[place] = needed
        last.update(dict.fromkeys(needed, place))
    live: set[int] = set()
    now = most = 0
    for place, needed in reads.items():
        op = ops[place]
        dying = [value for value in needed if last[value] == place and value in live]
        made = [value for value in op.writes if value not in outputs]
        here = sum(values[value].bytes for value in made) + op.inner
        if op.name in CHEAP | COSTLY:  # over an operand that nobody reads any more
            size = values[op.writes[0]].bytes
            here -= size if any(values[value].bytes == size for value in dying) else 0
        most = max(most, now + here)
        live.update(value for value in made if value in last)
        now += sum(values[value].bytes for value in made if value in last)
        live.difference_update(dying)
        now -= sum(values[value].bytes for value in dying)
    return most
