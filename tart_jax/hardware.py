"""What accelerators can do and hold: the dense bfloat16 peak and the memory of one JAX device."""

import re
from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """One device, by the vendor's data sheet.

    kind: a regex on jax.Device.device_kind. flops: matrix products a second in bfloat16 (V100, T4:
    float16), without sparsity. gigabytes: of memory (1e9 bytes). Of TPU v2, v3 and 7x a chip is two
    devices.
    """

    name: str
    kind: str
    flops: float
    gigabytes: float


CHIPS = (
    Chip("TPU v2", r"TPU v2", 23e12, 8),
    Chip("TPU v3", r"TPU v3", 61.5e12, 16),
    Chip("TPU v4", r"TPU v4", 275e12, 32),
    Chip("TPU v5e", r"TPU v5 ?(lite|e)", 197e12, 16),
    Chip("TPU v5p", r"TPU v5(p|$)", 459e12, 95),
    Chip("TPU v6e", r"TPU v6 ?(lite|e)", 918e12, 32),
    Chip("TPU 7x", r"TPU ?v?7x", 1153.5e12, 96),
    Chip("T4", r"\bT4\b", 65e12, 16),
    Chip("V100 16GB", r"V100.*16GB", 125e12, 16),
    Chip("V100 32GB", r"V100.*32GB", 125e12, 32),
    Chip("L4", r"\bL4\b", 121e12, 24),
    Chip("A10G", r"\bA10G", 70e12, 24),
    Chip("L40S", r"\bL40S", 362e12, 48),
    Chip("A100 40GB", r"A100.*40GB", 312e12, 40),
    Chip("A100 80GB", r"A100.*80GB", 312e12, 80),
    Chip("H100 PCIe", r"H100 PCIe", 756e12, 80),
    Chip("H100", r"H100(?! PCIe)", 989e12, 80),
    Chip("H200", r"H200", 989e12, 141),
    Chip("B200", r"B200", 2250e12, 180),
)


def peak_of(kind: str) -> float | None:
    """FLOP/s of a device of this `device_kind`; None: a CPU, or what is not in the table."""
    return next((chip.flops for chip in CHIPS if re.search(chip.kind, kind)), None)


def peak(devices: int) -> float | None:
    """The peak of so many devices like this process's first; None: not known."""
    one = peak_of(jax.local_devices()[0].device_kind)
    return one * devices if one else None
