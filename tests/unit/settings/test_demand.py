"""GPUs and time limits follow the sizes."""

from typing import Any

from workflow_scripts.settings import load_study
from workflow_scripts.settings.demand import gpus, memory_mb, nodes, training_minutes


def test_gpus(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    full = study.recipes["full"]
    # 8.29e9 parameters x 18 bytes x 1.25 = 187 GB: three 80 GB GPUs, four as a power of two.
    assert gpus(study, study.models["qwen2.5-vl-7b"], full) == 4
    assert gpus(study, study.models["qwen2.5-vl-7b"]) == 1
    # 73.41e9 x 2 x 1.25 = 184 GB.
    assert gpus(study, study.models["qwen2.5-vl-72b"]) == 4
    lora = full.model_copy(update={"method": "lora"})
    assert gpus(study, study.models["qwen2.5-vl-7b"], lora) == 1


def test_nodes(paper: dict[str, Any]) -> None:
    paper["compute"] = {"gpus_per_node": 6}
    study = load_study(paper)
    full = study.recipes["full"]
    assert nodes(study, study.models["qwen2.5-vl-7b"], full) == 1
    # 73.41e9 x 18 x 1.25 = 1652 GB: 21 GPUs, 32 as a power of two; on six machines of six they would not be even.
    large = study.models["qwen2.5-vl-72b"]
    assert (gpus(study, large, full), nodes(study, large, full)) == (32, 8)


def test_no_gpus(paper: dict[str, Any]) -> None:
    paper["compute"] = {"gpu_memory_gb": None}
    study = load_study(paper)
    assert gpus(study, study.models["qwen2.5-vl-72b"], study.recipes["full"]) == 0


def test_larger_models_ask_for_more(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    small, large = study.models["qwen2.5-vl-3b"], study.models["qwen2.5-vl-72b"]
    assert memory_mb(small) < memory_mb(large)
    one_gpu = study.model_copy(update={"compute": study.compute.model_copy(update={"gpu_memory_gb": 10_000.0})})
    recipe = study.recipes["full"]
    assert training_minutes(one_gpu, small, recipe) < training_minutes(one_gpu, large, recipe)
