"""Rule `probe`: probe one shard of the shortlist's videos.

In: the shortlist. Out: a table of probes (PROBES in workflow_scripts/curation/probing.py) of every `--shards`-th video,
from the `--shard`-th on. A video that hangs the decoder is killed after `--timeout` seconds and is so noted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from workflow_scripts.curation.probing import probe_all, probes_table
from workflow_scripts.settings import InputError, cli, files
from workflow_scripts.video.container import Unusable


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shortlist", type=Path, required=True, help="Parquet with a column video")
    parser.add_argument("--dataset", type=Path, required=True, help="folder that holds the subset folders")
    parser.add_argument("--shard", type=int, required=True, help="which shard, from 0")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--workers", type=int, default=1, help="probing processes")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds after which a probe is killed")
    parser.add_argument("--output", type=Path, required=True, help="Parquet file to write")
    arguments = parser.parse_args()
    if not 0 <= arguments.shard < arguments.shards:
        raise InputError(f"--shard is {arguments.shard}; expected 0 to {arguments.shards - 1}")
    listed = files.read_parquet(arguments.shortlist, columns=["video"])["video"].tolist()
    paths = listed[arguments.shard :: arguments.shards]
    found = probe_all(arguments.dataset, paths, workers=arguments.workers, timeout_s=arguments.timeout)
    files.write_parquet(probes_table(found), arguments.output)
    reasons = Counter(one.reason for one in found.values() if isinstance(one, Unusable))
    print(f"{len(found)} videos probed; {dict(reasons) or 'none'} unusable")


if __name__ == "__main__":
    cli.run(main)
