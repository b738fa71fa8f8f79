"""Puts questions to a model through this project's class or through lmms-eval's wrapper, and says how long it took.

Run by benchmarks/evaluation.py, one process a measurement. Prints one line of JSON: seconds of wall and of processor
time for the questions alone, the best of three rounds, loading and a first batch left out; and the answers.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPEATS = 3
WRAPPERS = {"qwen2_5_vl": "Qwen2_5_VL", "llava_hf": "LlavaHf"}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", choices=("ours", *WRAPPERS), required=True)
    parser.add_argument("--model", required=True, help="ModelSettings, as JSON")
    parser.add_argument("--benchmarks", required=True, help="list of BenchmarkSettings, as JSON")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--decord", type=Path, help="folder of packages that has decord")
    arguments = parser.parse_args()
    if arguments.decord:
        sys.path.append(str(arguments.decord))  # last: its numpy is not for us

    from workflow_scripts.evaluation.tasks import load_tasks, use_benchmarks
    from workflow_scripts.settings import BenchmarkSettings, ModelSettings

    use_benchmarks(arguments.root)
    import torch

    torch.set_num_threads(1)
    settings = ModelSettings.model_validate_json(arguments.model)
    benchmarks = [BenchmarkSettings.model_validate(one) for one in json.loads(arguments.benchmarks)]
    loaded = load_tasks(benchmarks, arguments.root / "tasks")
    tasks = {name: task for own in loaded.values() for name, task in own.items()}
    requests = []
    for task in tasks.values():
        task.build_all_requests(limit=None, rank=0, world_size=1)
        requests += [SimpleNamespace(args=instance.args) for instance in task.instances]
    model = ours(arguments, settings, tasks) if arguments.who == "ours" else wrapper(arguments, settings, tasks)
    model.generate_until(copies(requests[: arguments.batch]))
    wall, cpu = [], []
    for _ in range(REPEATS):
        asked = copies(requests)
        start, began = time.perf_counter(), time.process_time()
        answers = model.generate_until(asked)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - began)
    print(json.dumps({"wall_s": min(wall), "cpu_s": min(cpu), "answers": [answer.strip() for answer in answers]}))


def copies(requests: list[Any]) -> list[Any]:
    """Requests of their own: `llava_hf` writes into the settings that it is given."""
    return [SimpleNamespace(args=(one.args[0], dict(one.args[1]), *one.args[2:])) for one in requests]


def ours(arguments: argparse.Namespace, settings: Any, tasks: dict[str, Any]) -> Any:
    """This project's class, which is told what the wrapper lets the processor assume of times."""
    from workflow_scripts.evaluation.model import Answerer
    from workflow_scripts.frames.store import FrameStore
    from workflow_scripts.vlm.load import load

    vlm = load(settings, temporal_positions="constant")
    store = FrameStore([arguments.store] if arguments.store else [])
    return Answerer(lambda: vlm, tasks.values(), store, arguments.frames, batch_size=arguments.batch)


def wrapper(arguments: argparse.Namespace, settings: Any, tasks: dict[str, Any]) -> Any:
    """lmms-eval's wrapper as it is, but for the number format, which would be bfloat16, slow on a CPU."""
    os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"
    module = importlib.import_module(f"lmms_eval.models.simple.{arguments.who}")
    options: dict[str, Any] = {"batch_size": arguments.batch, "device": "cpu", "device_map": "cpu"}
    if arguments.who == "qwen2_5_vl":
        options |= {"min_pixels": settings.min_pixels, "max_pixels": settings.max_pixels}
        options |= {"max_num_frames": arguments.frames}
    made = getattr(module, WRAPPERS[arguments.who])(pretrained=settings.source, **options)
    made._model = made._model.float()
    made.task_dict = {name: task.dataset for name, task in tasks.items()}
    return made


if __name__ == "__main__":
    main()
