"""The jobs that Snakemake would run, and why, as it finds them itself in a dry run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.provenance.plan import planned


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


def pending(
    targets: Sequence[str],
    configfiles: Sequence[Path],
    folder: Path,
    snakefile: Path,
    config: Mapping[str, Any] | None = None,
) -> list[Pending]:
    """The jobs that would run for `targets` (none: the default), in an order in which they could.

    folder: where Snakemake's own records and the results are. Raises InputError where the workflow cannot be planned;
    the message is Snakemake's.
    """
    with planned(targets, configfiles, folder, snakefile, config) as workflow:
        dag = workflow.dag
        order = [job for level in dag.toposorted() for job in level]
        return [_describe(dag, job) for job in order if dag.needrun(job) and job.output]


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
