"""The workflow as Snakemake plans it, in a dry run."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from workflow_scripts.settings import InputError

CHECKSUM_BYTES = 100_000_000
"""Inputs up to this size are compared by content; the same as max-checksum-file-size in profiles/."""


@contextlib.contextmanager
def planned(
    targets: Sequence[str],
    configfiles: Sequence[Path],
    folder: Path,
    snakefile: Path,
    config: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """Snakemake's workflow with its jobs for `targets` (none: the default); nothing runs.

    configfiles, config: overlays, and settings of the command line. folder: where Snakemake's own records and the
    results are. Raises InputError where the workflow cannot be planned; the message is Snakemake's.
    """
    said = _Said()
    logging.getLogger("snakemake").addHandler(said)
    output = OutputSettings(dryrun=True, quiet={Quietness.ALL}, show_failed_logs=False)
    try:
        # what it says goes to standard error until the end of the block
        with contextlib.redirect_stderr(io.StringIO()), SnakemakeApi(output) as api:
            settings = DAGSettings(targets=set(targets), max_checksum_file_size=CHECKSUM_BYTES)
            try:
                workflow = api.workflow(
                    resource_settings=ResourceSettings(cores=1),
                    config_settings=ConfigSettings(configfiles=tuple(configfiles), config=dict(config or {})),
                    snakefile=snakefile,
                    workdir=folder,
                )
                workflow.dag(settings).execute_workflow(executor="local", pseudo_executor="dryrun")
            except Exception as error:
                raise InputError(f"the workflow cannot be planned: {said.text or error}") from error
            yield workflow._workflow
    finally:
        logging.getLogger("snakemake").removeHandler(said)


class _Said(logging.Handler):
    """What Snakemake logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()
