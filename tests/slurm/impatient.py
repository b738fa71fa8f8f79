"""Snakemake as it is, but asking SLURM for its jobs every two seconds; its plugin waits longer each time, for minutes.

python tests/slurm/impatient.py [snakemake's flags]
"""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 2.0


async def sleep(self: RemoteExecutor) -> None:
    await asyncio.sleep(SECONDS)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep  # type: ignore[method-assign]
    main(sys.argv[1:])
