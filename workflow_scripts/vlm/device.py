"""Where a model computes."""

import torch

from workflow_scripts.settings import InputError


def use_device(name: str, threads: int | None = None) -> str:
    """`cuda` or `cpu`; `auto` takes the GPU if there is one. `threads` bounds the CPU threads of torch."""
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device is {name}, but torch finds no GPU here; expected auto or cpu")
    return name
