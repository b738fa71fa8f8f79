"""Rule `shuffled`: hybrid-random, the budgets of another allocation dealt out to samples that they are not for.

    python -m workflow_scripts.budgets.shuffled --manifest manifest.parquet --store frames/shard-0.arrow \\
        --budgets hybrid-qwen3-vl-8b.parquet --seed 0 --admissible 8 16 32 64 --output hybrid-random.parquet

As many samples as there get each budget, exactly, so that what a run on the one has and a run on the other lacks is
that a budget fits its sample, not how many frames are spent. Which sample gets which follows from a hash of seed and
sample_id: of nothing that the sample shows or asks. Samples without frames in the store do not train; they keep theirs.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.budgets.allocation import read_allocation, write_allocation
from workflow_scripts.budgets.samples import read_samples, split_by_frames
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import cli


def rank(sample_id: str, seed: int) -> str:
    """Where a sample stands among the others: a checksum, equal on every machine."""
    return hashlib.sha256(f"{seed}/{sample_id}".encode()).hexdigest()


def shuffle(
    manifest: Path, shards: Sequence[Path], budgets: Path, seed: int, admissible: Sequence[int], output: Path
) -> None:
    """Write the allocation that deals the budgets of `budgets` out anew."""
    samples = read_samples(manifest)
    sample_ids = samples["sample_id"].tolist()
    found = read_allocation(budgets, sample_ids=sample_ids, admissible=admissible)
    given: dict[str, int] = dict(zip(found["sample_id"], found["budget"].tolist(), strict=True))
    present, _ = split_by_frames(samples["video"], FrameStore(shards), shards, admissible)
    training = samples.loc[samples["video"].isin(present), "sample_id"].tolist()
    dealt = dict(
        zip(sorted(training, key=lambda one: rank(one, seed)), sorted(map(given.__getitem__, training)), strict=True)
    )
    decisions = [Decision(dealt.get(sample, given[sample]), {}) for sample in sample_ids]
    write_allocation(output, sample_ids, decisions, admissible=admissible)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="shards of the frame store")
    parser.add_argument("--budgets", type=Path, required=True, help="the allocation whose budgets are dealt out")
    parser.add_argument("--seed", type=int, required=True, help="seed of the deal")
    parser.add_argument("--admissible", type=int, nargs="+", required=True, help="admissible budgets, in frames")
    parser.add_argument("--output", type=Path, required=True, help="budgets/hybrid-random.parquet")
    options = parser.parse_args()
    shuffle(options.manifest, options.store, options.budgets, options.seed, options.admissible, options.output)


if __name__ == "__main__":
    cli.run(main)
