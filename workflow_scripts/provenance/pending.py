"""The jobs that Snakemake would run, and why, as it finds them itself in a dry run."""

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from workflow_scripts.settings import InputError

CHECKSUM_BYTES = 100_000_000
"""Inputs up to this size are compared by content; the same as max-checksum-file-size in profiles/."""


@dataclass(frozen=True)
class Pending:
    """A job that would run.

    `missing`: outputs that are not there; `upstream`: inputs that another pending job makes; `updated`: inputs that
    changed; `added`, `gone`: inputs that the job did not have, or no longer has; `before`, `now`: parameters, as
    Python's repr, that its last start had and this one has; `command`: whether the rule's command line changed.
    """

    rule: str
    wildcards: dict[str, str]
    outputs: tuple[str, ...]
    missing: tuple[str, ...]
    upstream: tuple[str, ...]
    updated: tuple[str, ...]
    added: tuple[str, ...]
    gone: tuple[str, ...]
    before: tuple[str, ...]
    now: tuple[str, ...]
    command: bool

    @property
    def name(self) -> str:
        """The rule with its wildcards."""
        return self.rule + "".join(f" {key}={value}" for key, value in sorted(self.wildcards.items()))


def pending(targets: Sequence[str], configfiles: Sequence[Path], folder: Path, snakefile: Path) -> list[Pending]:
    """The jobs that would run for `targets` (none: the default), in an order in which they could.

    folder: where Snakemake's own records and the results are. Raises InputError where the workflow cannot be planned;
    the message is Snakemake's.
    """
    said = _Said()
    logging.getLogger("snakemake").addHandler(said)
    output = OutputSettings(dryrun=True, quiet={Quietness.ALL}, show_failed_logs=False)
    try:
        with contextlib.redirect_stderr(io.StringIO()), SnakemakeApi(output) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=tuple(configfiles)),
                snakefile=snakefile,
                workdir=folder,
            )
            settings = DAGSettings(targets=set(targets), max_checksum_file_size=CHECKSUM_BYTES)
            try:
                workflow.dag(settings).execute_workflow(executor="local", pseudo_executor="dryrun")
            except Exception as error:
                raise InputError(f"the workflow cannot be planned: {said.text or error}") from error
            dag = workflow._workflow.dag
            order = [job for level in dag.toposorted() for job in level]
            return [_describe(dag, job) for job in order if dag.needrun(job) and job.output]
    finally:
        logging.getLogger("snakemake").removeHandler(said)


class _Said(logging.Handler):
    """What Snakemake logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()


def _describe(dag: Any, job: Any) -> Pending:
    reason = dag.reason(job)
    upstream = set(map(str, reason.updated_input_run))
    recorded = dag.workflow.persistence.input(job.output[0]) if reason.input_changed else None
    before, now = set(recorded or ()), set(map(str, job.input))
    changed = reason.params_changed
    return Pending(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        outputs=tuple(map(str, job.output)),
        missing=tuple(sorted(map(str, reason.missing_output))),
        upstream=tuple(sorted(upstream)),
        updated=tuple(sorted(set(map(str, reason.updated_input)) - upstream)),
        added=tuple(sorted(now - before)) if recorded is not None else (),
        gone=tuple(sorted(before - now)),
        before=tuple(sorted(changed.only_old)),
        now=tuple(sorted(changed.only_new)),
        command=bool(reason.code_changed),
    )
