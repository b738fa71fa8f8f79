"""One run over two nodes, by srun and torchrun, with DeepSpeed ZeRO-2 over gloo."""

import pytest

from .conftest import MODEL, RESULTS, RUN, Study, field
from .make_run import write_spec


def test_zero2_over_two_nodes_has_the_losses_of_one_process(
    study: Study, whole: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    recipe = study.overlay["recipes"]["full"]
    recipe["deepspeed"] = "zero2"
    model = study.overlay["models"][MODEL]
    write_spec(study.folder, RESULTS, RUN, {**model, "name": MODEL}, {**recipe, "name": "full"})
    # Only in what the jobs ask for is the model one of 10^9 parameters: over two GPUs of 60 GB, one a node.
    model["size_b"] = 1.0
    study.overlay["compute"] |= {"gpu_memory_gb": 60, "gpus_per_node": 1}
    study.start("--retries", "0")
    job = study.job()
    assert study.finish() == 0, study.said[-3000:]
    assert field(job, "NumNodes") == "2"
    assert field(job, "TresPerJob") == "gres:gpu:2"
    assert study.samples() == whole.samples()
    assert study.losses() == pytest.approx(whole.losses(), rel=2e-3)
    assert study.losses()[:20] == pytest.approx(whole.losses()[:20], rel=1e-5)
