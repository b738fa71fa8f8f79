"""Where a model computes, and how fast that could be."""

import re

import torch

from workflow_scripts.settings import InputError

BF16_PEAKS = {
    r"A100-SXM4-[48]0GB|A100-PCIE-40GB|A100 80GB PCIe": 312e12,
    r"A30": 165e12,
    r"A40": 149.7e12,
    r"B200": 2250e12,
    r"GH200 \d+GB.*|H100 80GB HBM3|H200": 989.4e12,
    r"H100 NVL|H200 NVL": 835.5e12,
    r"H100 PCIe": 756.5e12,
    r"L40S": 362e12,
}
"""Operations a second of one GPU by the name its driver gives, after "NVIDIA ": bfloat16 tensor cores without sparsity.

From NVIDIA's data sheets of the A100 (2021), A30, A40, L40S, H100 (2024), H200 (2024), GH200 and DGX B200; where a
sheet gives the figure with sparsity alone, half of it. Other names, such as a slice of a GPU (MIG), are not guessed.
"""


def use_device(name: str, threads: int | None = None) -> str:
    """`cuda` or `cpu`; `auto` takes the GPU if there is one. `threads` bounds the CPU threads of torch."""
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device is {name}, but torch finds no GPU here; expected auto or cpu")
    return name


def bf16_peak(name: str | None) -> float | None:
    """Published peak of a GPU in bfloat16, in operations a second; None for none, or where it is not known.

    `name`: as `torch.cuda.get_device_name` gives it.
    """
    plain = (name or "").removeprefix("NVIDIA ")
    return next((peak for pattern, peak in BF16_PEAKS.items() if re.fullmatch(pattern, plain)), None)
