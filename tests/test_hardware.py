"""The table of chips, by what JAX calls their devices."""

import jax
import pytest

from tart_jax import hardware
from tart_jax.types import InputError

KINDS = {
    "NVIDIA H200": "h200", "NVIDIA H100 80GB HBM3": "h100", "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA A100-SXM4-40GB": "a100-40gb", "NVIDIA A100-SXM4-80GB": "a100-80gb",
    "NVIDIA A100 80GB PCIe": "a100-80gb", "Tesla T4": "t4", "NVIDIA L4": "l4",
    "NVIDIA L40S": "l40s", "Tesla V100-SXM2-16GB": "v100-16gb", "NVIDIA A10G": "a10g",
    "NVIDIA B200": "b200", "TPU v2": "v2", "TPU v3": "v3", "TPU v4": "v4", "TPU v5 lite": "v5e",
    "TPU v5e": "v5e", "TPU v5": "v5p", "TPU v5p": "v5p", "TPU v6 lite": "v6e", "TPU v6e": "v6e",
    "TPU7x": "7x", "cpu": None, "NVIDIA GeForce GTX 1080": None,
}  # fmt: skip


@pytest.mark.parametrize("kind, name", KINDS.items())
def test_each_kind_of_device_is_one_chip_of_the_table(kind, name):
    chip = hardware.of(kind)
    assert (chip and chip.name) == name
    assert chip is None or chip is hardware.named(chip.name)


def test_a_cpu_has_no_known_peak():
    assert jax.default_backend() != "cpu" or hardware.peak(1) is None


def test_the_peak_is_that_of_all_devices(monkeypatch):
    monkeypatch.setattr(hardware, "of", lambda kind: hardware.named("h200"))
    assert hardware.peak(4) == 4 * 989e12


def test_an_unknown_chip_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="chip 'h300' is not known; there are v2, "):
        hardware.named("h300")
