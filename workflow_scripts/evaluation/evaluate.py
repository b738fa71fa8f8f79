"""Rule `evaluate`: one model on one suite of benchmarks, by lmms-eval's own task code.

In: a model, the benchmarks' data and, for videos, their frame stores. Out, in the output folder: responses.parquet,
scores.json (written last; see `scores`) and lmms-eval's own files in lmms_eval/. Offline, and without
judges unless --judge lets the tasks ask theirs.

Answers are kept in --answers as they are generated (see `answers`): an evaluation that was killed goes on where it was,
a further benchmark asks its own questions only, and other metrics ask none. lmms-eval's own cache of responses is off:
its key holds a model's path and not its weights.

    python -m workflow_scripts.evaluation.evaluate --model '{"name": "qwen2.5-vl-7b", ...}' --suite video \
        --benchmarks '[{"name": "mvbench", ...}]' --tasks none --root data/benchmarks \
        --store results/paper/frames/benchmarks/mvbench.arrow --frames 32 \
        --answers results/paper/evaluation/answers --output results/paper/evaluation/...
"""

from __future__ import annotations

import argparse
import json
import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.evaluation import sources
from workflow_scripts.evaluation.answers import Answers
from workflow_scripts.evaluation.media import videos
from workflow_scripts.evaluation.tasks import Task, load_tasks, no_network, use_benchmarks, verdicts
from workflow_scripts.settings import BenchmarkSettings, InputError, ModelSettings, cli
from workflow_scripts.settings.files import atomic_path

if TYPE_CHECKING:
    from workflow_scripts.evaluation.model import Answerer
    from workflow_scripts.frames.store import FrameStore

PACKAGES = ("lmms-eval", "transformers", "torch", "datasets")
Tasks = Mapping[str, Mapping[str, Task]]  # by benchmark and name


def evaluate(
    model: Answerer, benchmarks: Sequence[BenchmarkSettings], tasks: Tasks, folder: Path, judge: bool = False
) -> dict[str, Any]:
    """Ask and score every question; lmms-eval's files go below ``folder``.

    Returns lmms-eval's results, with "results" (metrics by task) and "samples" (by task). Raises InputError where a
    task needs a judge and must not ask it.
    """
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    asked = [task for benchmark in benchmarks for task in tasks[benchmark.name].values()]
    for task in asked:
        # MMBench's submission is a spreadsheet for a server; it fails on control characters in an answer.
        task._aggregation_list.pop("submission", None)
    with verdicts() if judge else no_network():
        results: dict[str, Any] = simple_evaluate(
            model=model,
            tasks=asked,
            # They are loaded already; the default would read the thousands of task files of lmms-eval.
            task_manager=TaskManager(include_defaults=False),
            use_cache=None,
            log_samples=True,
            bootstrap_iters=0,
            process_docs_parallel=1,
            batch_size=model.batch_size,
            cli_args=Namespace(output_path=str(folder), process_with_media=False),
        )
    return results


def save_upstream(results: dict[str, Any], model: str, folder: Path) -> None:
    """Write lmms-eval's own files by its own tracker, and check that it did. Strips the samples of prompts and rows."""
    from lmms_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args("vlm", f"model={model}", "", "", False)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str=results["date"])
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)
    check_upstream(folder, {task: len(rows) for task, rows in samples.items()})


def check_upstream(folder: Path, questions: Mapping[str, int]) -> None:
    """Raises RuntimeError where lmms-eval's results or a task's samples are missing or not whole."""
    written = sorted(folder.rglob("*_results.json"))
    written = [path for path in written if "submissions" not in path.parts]
    if len(written) != 1:
        raise RuntimeError(f"lmms-eval wrote {len(written)} files *_results.json below {folder}; expected one")
    json.loads(written[0].read_text(encoding="utf-8"))
    for task, n in questions.items():
        found = list(folder.rglob(f"*_samples_{task}.jsonl"))
        # Only a line feed ends a record: answers may hold other separators.
        lines = found[0].read_text(encoding="utf-8").split("\n")[:-1] if len(found) == 1 else []
        if len(lines) != n:
            raise RuntimeError(f"lmms-eval saved {len(lines)} samples of task {task} below {folder}; expected {n}")
        for line in lines:
            json.loads(line)


def check_videos(benchmark: str, tasks: Mapping[str, Task], store: FrameStore) -> None:
    """Raises InputError naming every video of the benchmark that is not in the store."""
    missing = [video for video in videos(tasks.values()) if video not in store.videos]
    if missing:
        raise InputError(
            f"benchmark {benchmark}: {len(missing)} videos are not in the frame store, so their questions cannot be "
            f"asked (see the quarantine beside it); expected all: {', '.join(missing)}"
        )


def write(
    output: Path, model: Answerer, benchmarks: Sequence[BenchmarkSettings], tasks: Tasks, head: dict[str, Any]
) -> None:
    """Evaluate and write the folder; ``head`` opens scores.json. Each part appears whole, scores.json last."""
    import pandas as pd

    from workflow_scripts.evaluation import records
    from workflow_scripts.evaluation.scores import write_scores

    started = time.monotonic()
    with atomic_path(output / "lmms_eval") as folder:
        folder.mkdir(parents=True)
        results = evaluate(model, benchmarks, tasks, folder, judge=head.get("judge", False))
        frames, rows = [], []
        for benchmark in benchmarks:
            own = tasks[benchmark.name]
            frames.append(records.responses(benchmark, own, results["samples"], model.shown))
            rows += records.scores(benchmark, own, results["results"], results["samples"])
        save_upstream(results, head["model"]["name"], folder)
    head = {**head, "generated": model.generated, "rows": rows, "seconds": round(time.monotonic() - started, 3)}
    write_scores(output, head, pd.concat(frames, ignore_index=True))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=cli.json_of(ModelSettings), required=True, help="one of models")
    parser.add_argument("--suite", choices=("image", "video"), required=True)
    parser.add_argument(
        "--benchmarks", type=cli.json_of(list[BenchmarkSettings]), required=True, help="of the registry"
    )
    parser.add_argument("--tasks", default="none", help="folder with further task files, or none")
    parser.add_argument("--root", type=Path, required=True, help="folder of the benchmarks' data, laid out as HF_HOME")
    parser.add_argument("--store", type=Path, nargs="*", default=[], help="frame stores of the benchmarks' videos")
    parser.add_argument("--frames", type=int, required=True, help="frames a video; 1 for images")
    parser.add_argument("--blind", action="store_true", help="show grey pictures: what language alone earns")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter, applied beside the model's weights")
    parser.add_argument("--answers", type=Path, help="folder where answers are kept and found again")
    parser.add_argument(
        "--judge", action="store_true", help="let tasks ask the chat model that they name; needs OPENAI_API_KEY"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="questions generated together")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads; by default as many as torch takes")
    parser.add_argument("--temporal-positions", choices=("real_time", "integer_rate", "constant"), default="real_time")
    parser.add_argument("--total-pixels", type=int, help="pixels of all frames of a clip; by default of each frame")
    parser.add_argument("--output", type=Path, required=True, help="folder")
    arguments = parser.parse_args()
    for benchmark in arguments.benchmarks:
        if benchmark.suite != arguments.suite:
            raise InputError(f"benchmark {benchmark.name} is of suite {benchmark.suite}; expected {arguments.suite}")
    if arguments.judge and not os.environ.get("OPENAI_API_KEY"):
        raise InputError("--judge needs the judge's key in the environment variable OPENAI_API_KEY; it is not set")

    began = time.monotonic()
    use_benchmarks(arguments.root)
    from workflow_scripts.frames.store import FrameStore
    from workflow_scripts.vlm.device import use_device

    device = use_device(arguments.device, arguments.threads)
    store = FrameStore(arguments.store)
    more = None if arguments.tasks == "none" else Path(arguments.tasks)
    tasks = load_tasks(arguments.benchmarks, more, judge=arguments.judge)
    if arguments.suite == "video":
        for benchmark in arguments.benchmarks:
            check_videos(benchmark.name, tasks[benchmark.name], store)

    from workflow_scripts.evaluation.identity import digest, identity
    from workflow_scripts.evaluation.model import Answerer
    from workflow_scripts.vlm.load import VLM, load

    how: dict[str, Any] = {
        "temporal_positions": arguments.temporal_positions,
        "total_pixels": arguments.total_pixels,
    }
    checksums = None if arguments.answers is None else arguments.answers / "checksums"
    asked = identity(arguments.model, arguments.adapter, how, device, checksums)

    def loaded() -> VLM:
        vlm = load(arguments.model, device=device, adapter=arguments.adapter, merge=False, spread=True, **how)
        if checksums is not None and identity(arguments.model, arguments.adapter, how, device, checksums) != asked:
            raise InputError(f"model {arguments.model.name}: the files of {arguments.model.source} changed meanwhile")
        return vlm

    model = Answerer(
        loaded,
        [task for own in tasks.values() for task in own.values()],
        store,
        arguments.frames,
        answers=None if arguments.answers is None else Answers(arguments.answers, asked),
        last_frame=[task for one in arguments.benchmarks if one.last_frame for task in one.tasks],
        blind=arguments.blind,
        batch_size=arguments.batch_size,
        max_pixels=arguments.model.max_pixels,
    )
    head = {
        "model": arguments.model.model_dump(mode="json"),
        "suite": arguments.suite,
        "frames": arguments.frames,
        "blind": arguments.blind,
        "temporal_positions": arguments.temporal_positions,
        "total_pixels": arguments.total_pixels,
        "adapter": None if arguments.adapter is None else str(arguments.adapter),
        "identity": digest(asked),
        "judge": arguments.judge,
        "versions": {name: version(name) for name in PACKAGES},
        "commits": {one.name: sources.commit(one, tasks[one.name]) for one in arguments.benchmarks},
        "startup_seconds": round(time.monotonic() - began, 3),
    }
    write(arguments.output, model, arguments.benchmarks, tasks, head)


if __name__ == "__main__":
    cli.run(main)
