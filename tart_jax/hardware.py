"""What accelerators can do: the dense bfloat16 peak of one JAX device."""

import re

import jax

# A regex on jax.Device.device_kind, and matrix products a second in bfloat16 (V100, T4: float16),
# without sparsity, by the vendor's data sheet. Of TPU v2, v3 and 7x a chip is two devices.
PEAKS = (
    (r"TPU v2", 23e12),
    (r"TPU v3", 61.5e12),
    (r"TPU v4", 275e12),
    (r"TPU v5 ?(lite|e)", 197e12),
    (r"TPU v5(p|$)", 459e12),
    (r"TPU v6 ?(lite|e)", 918e12),
    (r"TPU ?v?7x", 1153.5e12),
    (r"\bT4\b", 65e12),
    (r"V100.*16GB", 125e12),
    (r"V100.*32GB", 125e12),
    (r"\bL4\b", 121e12),
    (r"\bA10G", 70e12),
    (r"\bL40S", 362e12),
    (r"A100.*40GB", 312e12),
    (r"A100.*80GB", 312e12),
    (r"H100 PCIe", 756e12),
    (r"H100(?! PCIe)", 989e12),
    (r"H200", 989e12),
    (r"B200", 2250e12),
)


def peak_of(kind: str) -> float | None:
    """FLOP/s of a device of this `device_kind`; None: a CPU, or what is not in the table."""
    return next((flops for regex, flops in PEAKS if re.search(regex, kind)), None)


def peak(devices: int) -> float | None:
    """The peak of so many devices like this process's first; None: not known."""
    one = peak_of(jax.local_devices()[0].device_kind)
    return one * devices if one else None
