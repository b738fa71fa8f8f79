"""Published peaks, by the names that drivers give."""

import pytest

from workflow_scripts.vlm.device import bf16_peak


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756.5e12),
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA GH200 480GB", 989.4e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla V100-SXM2-16GB", None),
        (None, None),
    ],
)
def test_peaks_are_known_or_not_guessed(name: str | None, peak: float | None) -> None:
    assert bf16_peak(name) == peak
