"""What accelerators can do: the dense bfloat16 peak and the memory of one JAX device."""

import re
from typing import NamedTuple

import jax

from tart_jax.types import InputError


class Chip(NamedTuple):
    """One device as JAX counts them: of TPU v2, v3 and 7x a chip is two.

    flops: matrix products a second in bfloat16 (V100, T4: float16), without sparsity, by the
    vendor's data sheet. memory: bytes.
    """

    name: str
    kind: str  # a regex on jax.Device.device_kind
    flops: float
    memory: float


T, G, GIB = 1e12, 1e9, 2**30
CHIPS = (
    Chip("v2", r"TPU v2", 23 * T, 8 * GIB),
    Chip("v3", r"TPU v3", 61.5 * T, 16 * GIB),
    Chip("v4", r"TPU v4", 275 * T, 32 * GIB),
    Chip("v5e", r"TPU v5 ?(lite|e)", 197 * T, 16 * GIB),
    Chip("v5p", r"TPU v5(p|$)", 459 * T, 95 * GIB),
    Chip("v6e", r"TPU v6 ?(lite|e)", 918 * T, 32 * GIB),
    Chip("7x", r"TPU ?v?7x", 1153.5 * T, 96 * GIB),
    Chip("t4", r"\bT4\b", 65 * T, 16 * G),
    Chip("v100-16gb", r"V100.*16GB", 125 * T, 16 * G),
    Chip("v100-32gb", r"V100.*32GB", 125 * T, 32 * G),
    Chip("l4", r"\bL4\b", 121 * T, 24 * G),
    Chip("a10g", r"\bA10G", 70 * T, 24 * G),
    Chip("l40s", r"\bL40S", 362 * T, 48 * G),
    Chip("a100-40gb", r"A100.*40GB", 312 * T, 40 * G),
    Chip("a100-80gb", r"A100.*80GB", 312 * T, 80 * G),
    Chip("h100-pcie", r"H100 PCIe", 756 * T, 80 * G),
    Chip("h100", r"H100(?! PCIe)", 989 * T, 80 * G),
    Chip("h200", r"H200", 989 * T, 141 * G),
    Chip("b200", r"B200", 2250 * T, 180 * G),
)
NAMES = {chip.name: chip for chip in CHIPS}


def of(kind: str) -> Chip | None:
    """The chip of a `device_kind`; None: a CPU, or what is not in the table."""
    return next((chip for chip in CHIPS if re.search(chip.kind, kind)), None)


def named(name: str) -> Chip:
    """InputError: no chip of that name."""
    if name not in NAMES:
        raise InputError(f"chip {name!r} is not known; there are {', '.join(NAMES)}.")
    return NAMES[name]


def peak(devices: int) -> float | None:
    """The bfloat16 peak of so many devices like this process's first; None: not known."""
    chip = of(jax.local_devices()[0].device_kind)
    return chip.flops * devices if chip else None
