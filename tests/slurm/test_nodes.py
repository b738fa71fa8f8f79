"""One run over two nodes, by srun and torchrun, with DeepSpeed ZeRO-2 over gloo."""

import pytest

from .conftest import MODEL, RESULTS, RUN, Study, field, lane
from .make_run import write_spec


@lane("nodes")
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
