"""Gradients sharded by ZeRO-3, each process with its own piece: projections add up to that of the whole.

Started by torchrun this file is the processes: each projects its shard of every parameter's gradient, and they sum.
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
ZERO3 = {
    "train_micro_batch_size_per_gpu": 1,
    "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
}


def network() -> tuple[nn.Module, Tensor, Projection]:
    """A small network, its inputs, and a projection that sketches one of its two groups."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 41), nn.Tanh(), nn.Linear(41, 3))
    named = trainable(model.named_parameters())
    sizes = [(name, "first" if name.startswith("0") else "last", parameter.numel()) for name, parameter in named]
    return model, torch.randn(7, 30), Projection(sizes, buckets=256, seed=5)


@pytest.mark.slow
def test_shards_of_several_processes_add_up(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "DS_ACCELERATOR": "cpu"}
    environment["SUM"] = str(tmp_path / "sum.pt")
    subprocess.run([*torchrun, __file__], env=os.environ | environment, check=True, timeout=120)
    model, inputs, projection = network()
    total = Accumulated(named := trainable(model.named_parameters()))
    with streaming(named, total.take):
        model(inputs).square().sum().backward()
    expected = projection.zeros()
    for name, gradient in total.values.items():
        projection.add(expected, name, gradient)
    assert not projection.exact
    found = torch.load(tmp_path / "sum.pt")
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


def main() -> None:
    """One process. A shard is an equal piece of the flat parameter, the last one padded."""
    import deepspeed
    from deepspeed import ops
    from deepspeed.utils import safe_get_local_grad

    ops.__compatible_ops__["deepspeed_shm_comm"] = False  # else it would be compiled, for minutes
    deepspeed.init_distributed("gloo")
    model, inputs, projection = network()
    optimizer = torch.optim.AdamW(model.parameters())
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=ZERO3)
    engine.backward(engine(inputs).square().sum())
    rank, vector = torch.distributed.get_rank(), projection.zeros()
    for name, parameter in engine.module.named_parameters():
        size = parameter.ds_tensor.numel()
        assert size == -(-parameter.ds_numel // PROCESSES)
        shard = safe_get_local_grad(parameter).flatten()[: parameter.ds_numel - rank * size]
        projection.add(vector, name, shard, offset=rank * size)
    torch.distributed.all_reduce(vector)
    if rank == 0:
        torch.save(vector, os.environ["SUM"])
    torch.distributed.barrier()
    # gloo's threads now and then abort an interpreter that takes itself down
    os._exit(0)


if __name__ == "__main__":
    main()
