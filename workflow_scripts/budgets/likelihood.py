"""Rule `likelihood`: a sample gets the smallest budget at which its answer's likelihood stops rising.

    python -m workflow_scripts.budgets.likelihood --manifest manifest.parquet --store frames/shard-0.arrow \\
        --model '{"name": "qwen2.5-vl-7b", "family": "qwen2.5-vl", "source": "Qwen/Qwen2.5-VL-7B-Instruct",
                  "size_b": 8.29}' \\
        --tolerance 0.1 --admissible 8 16 32 64 --output hybrid-likelihood.parquet

The minimal sufficient budget of Proposition 3, estimated: a model reads the sample's own answers after each admissible
number of its frames. A budget is enough if none above it raises the log-likelihood of all that the assistant says by
more than a tolerance, in nats. It is no predictor, since it looks at the answer; and what a model cannot use it cannot
miss, so a model that does not read many frames gives small budgets. The evidence holds the log-likelihoods and the
number of tokens that they are sums over. A killed job, started again, goes on after its last whole part.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.budgets.predicted import write_predicted
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import InputError, ModelSettings, cli
from workflow_scripts.settings.files import read_parquet
from workflow_scripts.vlm.conversation import Example, turns
from workflow_scripts.vlm.device import use_device
from workflow_scripts.vlm.likelihood import answer_logprobs
from workflow_scripts.vlm.load import load

PART = 32  # samples decided between two writes
FRAMES = 128  # at most, in a forward pass of several examples

Score = Callable[[Sequence[Example]], tuple[np.ndarray, np.ndarray]]


def stops_rising(logprobs: Mapping[int, float], tolerance: float) -> int:
    """The smallest budget that no larger one exceeds by more than `tolerance` (nats)."""
    budgets = sorted(logprobs)
    for place, budget in enumerate(budgets):
        if all(logprobs[larger] - logprobs[budget] <= tolerance for larger in budgets[place + 1 :]):
            return budget
    raise AssertionError("the largest budget has none above it")


def decide_samples(
    store: FrameStore, samples: pd.DataFrame, score: Score, tolerance: float, budgets: Sequence[int]
) -> list[Decision]:
    """The budget of each sample (columns sample_id, video, conversations).

    `score` gives float64 [n] log-likelihoods of the answers of n examples, and int64 [n], over how many tokens. A pass
    holds samples at one budget, with texts of like length, since a batch is padded to its longest.
    """
    videos, names = samples["video"].tolist(), samples["sample_id"].tolist()
    said = [turns(one, name) for one, name in zip(samples["conversations"], names, strict=True)]
    by_length = sorted(range(len(samples)), key=lambda at: sum(len(turn.text) for turn in said[at]))
    found: list[dict[int, float]] = [{} for _ in said]
    tokens = [0] * len(said)
    for budget in sorted(budgets):
        together = max(1, FRAMES // budget)
        for start in range(0, len(by_length), together):
            group = by_length[start : start + together]
            try:
                logprobs, counts = score([Example(said[at], store.clip(videos[at], budget)) for at in group])
            except InputError as error:
                raise InputError(f"{budget} frames, sample {', '.join(names[at] for at in group)}: {error}") from error
            for at, logprob, count in zip(group, logprobs, counts, strict=True):
                found[at][budget], tokens[at] = float(logprob), int(count)
    return [
        Decision(
            stops_rising(values, tolerance),
            {"logprobs": {str(budget): round(value, 4) for budget, value in values.items()}, "tokens": count},
        )
        for values, count in zip(found, tokens, strict=True)
    ]


def estimate(
    manifest: Path,
    shards: Sequence[Path],
    model: ModelSettings,
    tolerance: float,
    admissible: Sequence[int],
    output: Path,
    score: Score,
) -> None:
    """Write the allocation for every sample of the manifest. `score` is of `model`."""
    write_predicted(
        output,
        read_parquet(manifest, ["sample_id", "video", "conversations"]),
        shards,
        admissible,
        lambda store, samples: decide_samples(store, samples, score, tolerance, admissible),
        settings={"model": model.model_dump(mode="json"), "tolerance": tolerance},
        source=model.source,
        part=PART,
        label="samples read",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="shards of the frame store")
    parser.add_argument("--model", type=cli.json_of(ModelSettings), required=True, help="one of models, as JSON")
    parser.add_argument("--tolerance", type=float, required=True, help="rise that does not count, in nats")
    parser.add_argument("--admissible", type=int, nargs="+", required=True, help="admissible budgets, in frames")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; by default as many as torch takes")
    parser.add_argument("--output", type=Path, required=True, help="budgets/hybrid-likelihood.parquet")
    options = parser.parse_args()
    if options.tolerance < 0:
        raise InputError(f"--tolerance is {options.tolerance}; expected at least 0")
    model = load(options.model, device=use_device(options.device, options.threads), spread=True)
    estimate(
        options.manifest,
        options.store,
        options.model,
        options.tolerance,
        options.admissible,
        options.output,
        lambda examples: answer_logprobs(model, examples),
    )


if __name__ == "__main__":
    cli.run(main)
