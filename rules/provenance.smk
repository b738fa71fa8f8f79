"""Stage provenance: what was run, with what; the records of how each result was made."""

from snakemake.settings.types import ExecMode

from workflow_scripts.provenance.adopt import strangers, unadopted
from workflow_scripts.provenance.gather import gather_workflow
from workflow_scripts.provenance.room import little_room

ADOPT = f"`make adopt` compares the files in {RESULTS} with the records that came with them, and takes them over"

if workflow.exec_mode == ExecMode.DEFAULT and (unknown := unadopted(RESULTS)):
    raise WorkflowError(f"{unknown} jobs of study {STUDY.study} ran elsewhere. {ADOPT}.")


# Snakemake would go by the times of files that it has no record of.
onstart:
    if not workflow.touch and (unknown := strangers(workflow.dag.jobs, workflow.persistence, RESULTS)):
        raise WorkflowError(
            f"{len(unknown)} files were made elsewhere and have no record, {unknown[0]} first. {ADOPT}."
            " Without records: delete them, or take them on trust with --touch."
        )


# A record is no output of a rule: each job has one, and none is a reason to run. A run that was killed leaves its jobs'
# notes to the next.
onsuccess:
    print(gather_workflow(workflow, STUDY.study), file=sys.stderr)


onerror:
    for line in little_room(Path(f"results/{STUDY.study}")):
        print(line, file=sys.stderr)
    print(gather_workflow(workflow, STUDY.study), file=sys.stderr)


rule record:
    input:
        rules.figures.input,
    output:
        "<results>/provenance/study.json",
    log:
        "<logs>/provenance/record.log",
    benchmark:
        "<benchmarks>/provenance/record.jsonl"
    params:
        code=code("provenance.record"),
        config=lambda wildcards: to_json(STUDY),
    message:
        "recording settings, versions, commit and machine"
    shell:
        "python -m workflow_scripts.provenance.record --config {params.config:q} --output {output:q} > {log:q} 2>&1"


# Every figure and table with a page of its own; those of the sample and of all experiments too.
LINEAGE = ["training_data", "detectable", *["claims"] * bool(CLAIMED), *(one.figure for one in STUDY.experiments)]


rule lineage:
    input:
        rules.figures.input,
        evaluation_files(),
        [f"<results>/finetuning/{run.path}/summary.json" for run in plan.runs(STUDY)],
        record=rules.record.output,
        inventory=rules.inventory.output.inventory,
        shortlist=rules.shortlist.output,
        manifest=rules.manifest.output,
    output:
        [
            report(
                f"<results>/provenance/lineage/{name}.html",
                caption=f"{CAPTIONS}/lineage.rst",
                category="Lineage",
                labels={"name": name.replace("_", " ")},
            )
            for name in LINEAGE
        ],
    log:
        "<logs>/provenance/lineage.log",
    benchmark:
        "<benchmarks>/provenance/lineage.jsonl"
    params:
        code=code("provenance.lineage"),
        config=lambda wildcards: to_json(STUDY),
        results=subpath(output[0], ancestor=3),
        figures=LINEAGE,
        folder=subpath(output[0], parent=True),
    message:
        "writing where each figure comes from"
    shell:
        "python -m workflow_scripts.provenance.lineage --config {params.config:q} --results {params.results:q}"
        " --figures {params.figures:q} --output {params.folder:q} > {log:q} 2>&1"
