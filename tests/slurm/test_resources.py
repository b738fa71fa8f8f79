"""What SLURM was asked for, and how a run goes with it: on one node, and on two by srun and torchrun."""

import pytest

from .conftest import MODEL, RESULTS, RUN, Study, field
from .make_run import write_spec


def test_undisturbed_with_its_resources_as_slurm_saw_them(study: Study, whole: Study) -> None:
    study.start("--set-resources", "train:gpu_model=a100")
    job = study.job()
    study.ends_as(whole)
    assert field(job, "TresPerJob") == "gres:gpu:a100:1"
    assert field(job, "NumNodes") == "1"
    assert field(job, "TimeLimit") == "00:30:00"
    assert field(job, "Requeue") == "1"
    # 6,000 and 4,000 for machine and process, and little for 10^6 parameters and small frames
    assert int(field(job, "MinMemoryNode").removesuffix("M")) == pytest.approx(10_000, rel=0.05)
    # it was SLURM's job that trained, not a process of this machine's own
    assert study.lease()["job"] == job


def test_zero2_over_two_nodes_has_the_losses_of_one_process(
    study: Study, whole: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    recipe = study.overlay["recipes"]["full"]
    recipe["deepspeed"] = "zero2"
    model = study.overlay["models"][MODEL]
    write_spec(study.folder, RESULTS, RUN, {**model, "name": MODEL}, {**recipe, "name": "full"})
    # Only in what the job asks for is the model one of 10^10 parameters: over two GPUs of 180 GB, one a node.
    model["size_b"] = 10.0
    study.overlay["compute"] |= {"gpu_memory_gb": 180, "gpus_per_node": 1}
    study.start("--retries", "0")
    job = study.job()
    assert study.finish() == 0, study.said[-3000:]
    assert field(job, "NumNodes") == "2"
    assert field(job, "TresPerJob") == "gres:gpu:2"
    # each step's samples are listed process by process
    assert list(map(sorted, study.samples())) == list(map(sorted, whole.samples()))
    assert study.losses() == pytest.approx(whole.losses(), rel=1e-4)
