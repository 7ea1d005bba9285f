"""The table of peaks, by what JAX calls the devices."""

import re

import jax
import pytest

from tart_jax import hardware

KINDS = {
    "NVIDIA H200": 989, "NVIDIA H100 80GB HBM3": 989, "NVIDIA H100 PCIe": 756,
    "NVIDIA A100-SXM4-40GB": 312, "NVIDIA A100-SXM4-80GB": 312, "NVIDIA A100 80GB PCIe": 312,
    "Tesla T4": 65, "NVIDIA L4": 121, "NVIDIA L40S": 362, "Tesla V100-SXM2-16GB": 125,
    "NVIDIA A10G": 70, "NVIDIA B200": 2250, "TPU v2": 23, "TPU v3": 61.5, "TPU v4": 275,
    "TPU v5 lite": 197, "TPU v5e": 197, "TPU v5": 459, "TPU v5p": 459, "TPU v6 lite": 918,
    "TPU v6e": 918, "TPU7x": 1153.5, "cpu": None, "NVIDIA GeForce GTX 1080": None,
}  # fmt: skip


@pytest.mark.parametrize("kind, tera", KINDS.items())
def test_each_kind_of_device_has_its_peak(kind, tera):
    assert hardware.peak_of(kind) == (tera and tera * 1e12)
    fitting = [chip for chip in hardware.CHIPS if re.search(chip.kind, kind)]
    assert len(fitting) == (tera is not None)  # of one row of the table


def test_a_cpu_has_no_known_peak():
    assert jax.default_backend() != "cpu" or hardware.peak(1) is None


def test_the_peak_is_that_of_all_devices(monkeypatch):
    monkeypatch.setattr(hardware, "peak_of", lambda kind: 989e12)
    assert hardware.peak(4) == 4 * 989e12
