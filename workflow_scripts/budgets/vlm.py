"""Rule `vlm`: a sample gets as many frames as a vision-language model thinks its instruction needs.

    python -m workflow_scripts.budgets.vlm --manifest manifest.parquet --store frames/shard-0.arrow \\
        --predictor '{"name": "qwen3-vl-8b", "model": {"family": "qwen3-vl",
                      "source": "Qwen/Qwen3-VL-8B-Instruct", "size_b": 8}}' \\
        --admissible 8 16 32 64 --output hybrid-qwen3-vl-8b.parquet

The model sees a few uniform frames, the instruction and the admissible budgets as letters (`prompt.py`). Nothing is
generated: the letters' likelihoods decide, averaged over orders of the options (`choice.py`). A killed job, started
again, goes on after its last whole part.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.budgets.predicted import write_predicted
from workflow_scripts.budgets.samples import read_samples
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision, choose
from workflow_scripts.predictors.prompt import letters, option_orders, prompt
from workflow_scripts.settings import PredictorSettings, cli
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.device import use_device
from workflow_scripts.vlm.generate import option_logprobs
from workflow_scripts.vlm.load import VLM, load

PART = 64  # samples decided between two writes
BATCH = 16  # examples a forward pass

Score = Callable[[Sequence[Example], Sequence[str]], NDArray[np.float64]]


def decide_samples(
    store: FrameStore, samples: pd.DataFrame, score: Score, predictor: PredictorSettings, budgets: Sequence[int]
) -> list[Decision]:
    """The budget of each sample (columns video, instruction).

    `score` gives [examples, letters], the log-probability of each letter as next token.
    """
    budgets = sorted(budgets)
    orders = option_orders(len(budgets), predictor.option_orders, predictor.seed)
    examples = []
    for video, instruction in zip(samples["video"], samples["instruction"], strict=True):
        clip = store.clip(video, predictor.frames)
        for order in orders:
            text = prompt(predictor.question, instruction, budgets, order, predictor.frames)
            examples.append(Example((Turn("user", text),), clip))
    logprobs = score(examples, letters(budgets)).reshape(len(samples), len(orders), len(budgets))
    return [choose(rows, orders, budgets) for rows in logprobs]


def letter_score(model: VLM, batch_size: int) -> Score:
    """The scorer of a loaded model. Examples of like length share a batch, since a batch is padded to its longest."""

    def score(examples: Sequence[Example], options: Sequence[str]) -> NDArray[np.float64]:
        by_length = np.argsort([len(example.turns[0].text) for example in examples], kind="stable")
        logprobs = np.empty((len(examples), len(options)))
        for start in range(0, len(examples), batch_size):
            batch = by_length[start : start + batch_size]
            logprobs[batch] = option_logprobs(model, [examples[i] for i in batch], [options] * len(batch))
        return logprobs

    return score


def predict(
    manifest: Path,
    shards: Sequence[Path],
    predictor: PredictorSettings,
    admissible: Sequence[int],
    output: Path,
    score: Score,
) -> None:
    """Write the allocation for every sample of the manifest."""
    write_predicted(
        output,
        read_samples(manifest),
        shards,
        admissible,
        lambda store, samples: decide_samples(store, samples, score, predictor, admissible),
        settings={"predictor": predictor.model_dump(mode="json")},
        source=predictor.model.source,
        part=PART,
        label="samples asked about",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="shards of the frame store")
    parser.add_argument(
        "--predictor", type=cli.json_of(PredictorSettings), required=True, help="one of budgets.predictors, as JSON"
    )
    parser.add_argument("--admissible", type=int, nargs="+", required=True, help="admissible budgets, in frames")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; by default as many as torch takes")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="examples a forward pass")
    parser.add_argument("--output", type=Path, required=True, help="budgets/hybrid-<predictor>.parquet")
    options = parser.parse_args()
    letters(options.admissible)
    model = load(options.predictor.model, device=use_device(options.device, options.threads), spread=True)
    score = letter_score(model, options.batch_size)
    predict(options.manifest, options.store, options.predictor, options.admissible, options.output, score)


if __name__ == "__main__":
    cli.run(main)
