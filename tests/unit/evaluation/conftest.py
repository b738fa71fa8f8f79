"""The eight benchmarks in miniature with their frame store, answers from anything but a model, and a small model."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow_scripts.evaluation.tasks import load_tasks, use_benchmarks
from workflow_scripts.frames.store import FrameStore, Recipe, write_shard
from workflow_scripts.miniature.benchmarks import write_benchmarks
from workflow_scripts.settings import BenchmarkSettings, ModelSettings

QUESTIONS = 24
FRAMES = 8
METRICS: dict[str, list[tuple[str, float]]] = {
    "mme": [("mme_perception_score", 800)],
    "mmstar": [("average", 1), ("fine-grained perception", 1), ("instance reasoning", 1)],
    "mmbench": [("gpt_eval_score", 100)],
    "pope": [("pope_accuracy", 1), ("pope_precision", 1), ("pope_recall", 1), ("pope_f1_score", 1)],
    "videomme": [("videomme_perception_score", 100)],
    "mvbench": [("mvbench_accuracy", 100)],
    "tempcompass": [("avg_accuracy", 100)],
    "video_mmmu": [("mmmu_acc", 1)],
}
IMAGE = ("mme", "mmstar", "mmbench", "pope")


@dataclass(frozen=True)
class World:
    """Benchmarks on disk, their settings, their tasks as lmms-eval loads them, and the frames of their videos."""

    root: Path
    settings: dict[str, BenchmarkSettings]
    tasks: dict[str, dict[str, Any]]
    store: Path

    def of(self, suite: str) -> list[BenchmarkSettings]:
        return [one for one in self.settings.values() if one.suite == suite]


def settings_of(counts: dict[str, Any]) -> dict[str, BenchmarkSettings]:
    """Settings of drawn benchmarks."""
    found = {}
    for name, count in counts.items():
        tasks = tuple(count["tasks"])
        metrics = [
            {"metric": metric, "maximum": maximum} | ({"category": metric} if " " in metric else {})
            for metric, maximum in METRICS[name]
        ]
        if len(tasks) > 1:
            cut = len(f"mini_{name}_")
            metrics += [{**metrics[0], "task": task, "category": task[cut:]} for task in tasks]
        found[name] = BenchmarkSettings(
            name=name,
            suite="image" if name in IMAGE else "video",
            tasks=tasks,
            metrics=tuple(metrics),  # type: ignore[arg-type]
            dataset="miniature",
            questions=count["questions"],
        )
    return found


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    before = dict(os.environ)
    root = tmp_path_factory.mktemp("benchmarks") / "benchmarks"
    counts = write_benchmarks(QUESTIONS, root)
    settings = settings_of(counts)
    use_benchmarks(root)
    tasks = load_tasks(list(settings.values()), root / "tasks")
    videos = sorted(str(path.relative_to(root)) for kind in ("*.mp4", "*.mkv") for path in root.rglob(kind))
    store = root.parent / "store.arrow"
    recipe = Recipe(root, (FRAMES,), 4096, 95, last_frame=True)
    assert write_shard(videos, recipe, store, root.parent / "quarantine.csv") == len(videos)
    yield World(root, settings, tasks, store)
    os.environ.clear()
    os.environ.update(before)


def well_said(task: str, doc: dict[str, Any]) -> str:
    """What a perfect model answers: a letter, Yes or No."""
    if "mvbench" in task:
        return "ABCD"[doc["candidates"].index(doc["answer"])]
    answer = str(doc["answer"])
    if "caption" in task:
        return answer.split()[1].rstrip(":")
    return answer[0] if answer[1:2] == "." else answer.capitalize()


Say = Callable[[str, dict[str, Any]], str]


@pytest.fixture
def answerer(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes an Answerer whose answers come from a function of task and row; `seen` collects the examples."""
    from workflow_scripts.evaluation import model

    def make(suite: str, say: Say, **options: Any) -> Any:
        tasks = [task for one in world.of(suite) for task in world.tasks[one.name].values()]
        asked: list[tuple[str, dict[str, Any]]] = []
        seen: list[Any] = []

        class Told(model.Answerer):
            def _example(self, request: Any, media: Any) -> Any:
                asked.append((request.task, self.tasks[request.task].eval_docs_no_media[request.doc_id]))
                return super()._example(request, media)

        def generate(vlm: Any, examples: Sequence[Any], *, max_new_tokens: int, stop: Sequence[str] = ()) -> list[str]:
            seen.append((len(examples), max_new_tokens, tuple(stop)))
            vlm.examples.extend(examples)
            return [say(*entry) for entry in asked[-len(examples) :]]

        monkeypatch.setattr(model, "generate", generate)
        vlm: Any = SimpleNamespace(examples=[], asked=asked, batches=seen)
        return Told(lambda: vlm, tasks, FrameStore(world.store), FRAMES, **options)

    return make


@pytest.fixture(scope="session")
def tiny(world: World, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    """Random weights; every token ends its answer, as a trained model's one-token answers do."""
    from workflow_scripts.miniature.architectures import build

    folder = tmp_path_factory.mktemp("model") / "tiny"
    build("qwen2.5-vl-3b", prompts(world), folder, seed=0)
    file = folder / "generation_config.json"
    config = json.loads(file.read_text())
    config["eos_token_id"] = list(range(600))
    file.write_text(json.dumps(config))
    return ModelSettings(
        name="tiny",
        family="qwen2.5-vl",
        source=str(folder),
        size_b=0.001,
        max_pixels=4096,
        video_max_pixels=4096,
        precision="float32",
        max_length=4096,
    )


def prompts(world: World) -> list[str]:
    """Every question of the benchmarks, as their tasks ask it."""
    return [
        task.doc_to_text(doc)
        for own in world.tasks.values()
        for task in own.values()
        for doc in task.dataset[task.config.test_split]
    ]


@pytest.fixture(scope="session")
def command(world: World) -> Callable[..., list[str]]:
    """Makes the arguments of the command for a model, a suite, or some of its benchmarks, and an output folder."""

    def make(
        model: ModelSettings, suite: str, output: Path, *more: str, only: Sequence[BenchmarkSettings] = ()
    ) -> list[str]:
        benchmarks = json.dumps([one.model_dump(mode="json") for one in only or world.of(suite)])
        arguments = ["--model", model.model_dump_json(), "--suite", suite, "--benchmarks", benchmarks]
        arguments += ["--tasks", str(world.root / "tasks"), "--root", str(world.root), "--output", str(output)]
        arguments += ["--frames", str(FRAMES), "--store", str(world.store)] if suite == "video" else ["--frames", "1"]
        return [*arguments, "--device", "cpu", "--threads", "1", *more]

    return make
