"""Gradients sharded as ZeRO shards them, each process with its own piece: projections add up to that of the whole.

Started by torchrun this file is the processes: each projects its shard of every parameter's gradient, then they sum.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from workflow_scripts.theory.gradients import Accumulated, streaming, trainable
from workflow_scripts.theory.projection import Projection

REPOSITORY = Path(__file__).parents[3]
PROCESSES = 2


def gradients() -> tuple[Projection, dict[str, Tensor]]:
    """A small network's gradient, the same in every process, and a projection that sketches one of its groups."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 41), nn.Tanh(), nn.Linear(41, 3))
    named = trainable(model.named_parameters())
    total = Accumulated(named)
    with streaming(named, total.take):
        model(torch.randn(7, 30)).square().sum().backward()
    sizes = [(name, "first" if name.startswith("0") else "last", parameter.numel()) for name, parameter in named]
    return Projection(sizes, buckets=256, seed=5), total.values


@pytest.mark.slow
def test_shards_of_several_processes_add_up(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "SHARDS": str(tmp_path / "sum.pt")}
    subprocess.run([*torchrun, __file__], env=os.environ | environment, check=True, timeout=120)
    projection, whole = gradients()
    expected = projection.zeros()
    for name, gradient in whole.items():
        projection.add(expected, name, gradient)
    assert not projection.exact
    found = torch.load(tmp_path / "sum.pt")
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def main() -> None:
    """One process: ZeRO's shards are equal pieces of the flat parameter, the last one padded."""
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    projection, whole = gradients()
    vector = projection.zeros()
    for name, gradient in whole.items():
        flat = gradient.flatten()
        size = -(-flat.numel() // PROCESSES)
        projection.add(vector, name, flat[rank * size : (rank + 1) * size], offset=rank * size)
    torch.distributed.all_reduce(vector)
    if rank == 0:
        torch.save(vector, os.environ["SHARDS"])
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
