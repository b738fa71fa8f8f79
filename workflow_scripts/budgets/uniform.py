"""Rule `uniform`: every sample gets the same number of frames.

python -m workflow_scripts.budgets.uniform --manifest manifest.parquet --frames 8 --output uniform-8.parquet
"""

import argparse
from pathlib import Path

from workflow_scripts.budgets.allocation import Decision, write_allocation
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import read_parquet


def uniform(manifest: Path, frames: int, output: Path) -> None:
    """Write the allocation that gives `frames` frames to every sample of the manifest."""
    if frames < 1:
        raise InputError(f"--frames is {frames}; expected at least 1")
    samples = read_parquet(manifest, ["sample_id"])["sample_id"].tolist()
    write_allocation(output, samples, [Decision(frames, {})] * len(samples), admissible=[frames])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--frames", type=int, required=True, help="the budget of every sample")
    parser.add_argument("--output", type=Path, required=True, help="budgets/<allocation>.parquet")
    options = parser.parse_args()
    uniform(options.manifest, options.frames, options.output)


if __name__ == "__main__":
    run(main)
