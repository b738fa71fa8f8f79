"""Export a whole study as a Workflow Run RO-Crate: its figures, tables, specifications and records, with checksums.

    python -m workflow_scripts.provenance.export results/paper paper.crate.zip

Comes in: a study's folder with its records. Goes out: a folder, or a ZIP archive where the name ends in .zip, that
follows the Workflow Run Crate profile 0.5 (https://w3id.org/ro/wfrun/workflow): the workflow, one action for its run,
one for each job, and every file with its SHA-256. Weights, frames and answers stay behind; the records name them with
their checksums. A file that is not as its job left it stops the export.

`python -m workflow_scripts.provenance.import_crate paper.crate.zip` verifies it elsewhere.
"""

import argparse
import mimetypes
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.provenance.closure import ROOT
from workflow_scripts.provenance.records import FOLDER, Record, Records, read_records
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import atomic_path

EXPORTED = (
    "figures/*",
    "analysis/**/*.csv",
    "curation/*.csv",
    "curation/inventory.json",
    "finetuning/**/spec.yaml",
    "finetuning/**/summary.json",
    "evaluation/**/scores.json",
    "provenance/study.json",
    "provenance/lineage/*.html",
    f"{FOLDER.as_posix()}/**/*.json",
    "report.html",
)
"""What of results/<study>/ is small and says what was found, and how."""
WORKFLOW = ("Snakefile", "config.yaml", "rules/**/*.smk", "envs/requirements.txt", "LICENSE")
"""What of the repository describes the run; the commit in each record leads to the rest."""
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
FORMATS = {".yaml": "application/yaml", ".md": "text/markdown", ".csv": "text/csv", ".smk": "text/x-python"}
"""What Python's table of formats lacks, or has another name for."""
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
"""Where the terms of the profile, `sha256` among them, are defined."""


def study_files(folder: Path) -> Iterator[Path]:
    """The files to export, each once, in order."""
    found = {path for pattern in EXPORTED for path in folder.glob(pattern) if path.is_file()}
    yield from sorted(path for path in found if path.suffix != ".partial" and "checkpoints" not in path.parts)


def build(records: Records, checksums: Checksums) -> ROCrate:
    """The crate, not written yet. Raises InputError where a file is not as its record says, or there are no records."""
    root, folder = records.root, records.folder
    study = root.rpartition("/")[2]
    jobs = sorted(records, key=lambda record: (record.started, record.key))
    crate = ROCrate(version="1.1")
    crate.name = f"Study {study} of temporal-trap"
    crate.description = (
        f"Figures, tables, specifications and records of how each was made: {len(jobs)} jobs of study {study}, what "
        "video fine-tuning does to a multimodal model's image and video ability."
    )
    crate.datePublished = max(record.ended for record in jobs)
    crate.metadata.extra_contexts.append(TERMS)
    licence = crate.add_file(
        ROOT / "LICENSE", "LICENSE", properties=_described(ROOT / "LICENSE", checksums.of(ROOT / "LICENSE"))
    )
    crate.license = licence
    for identifier, (name, version) in PROFILES.items():
        profile = {"@type": "CreativeWork", "name": name, "version": version}
        crate.root_dataset.append_to("conformsTo", crate.add(ContextEntity(crate, identifier, profile)))
    entities = {}
    for path in sorted(path for pattern in WORKFLOW[1:-1] for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        entities[name] = crate.add_file(path, name, properties=_described(path, checksums.of(path)))
    workflow = _workflow(crate, checksums, [entities[name] for name in entities if name.startswith("rules/")], licence)
    for path in study_files(folder):
        name = f"{root}/{path.relative_to(folder).as_posix()}"
        entities[name] = crate.add_file(path, name, properties=_properties(records, path, name, checksums))
    for fault in misread(records, {name: str(entity["sha256"]) for name, entity in entities.items()}):
        raise InputError(f"{fault}; put back what it was, or run the study again")
    _actions(crate, jobs, entities, workflow)
    return crate


def misread(records: Records, contents: Mapping[str, str | None]) -> Iterator[str]:
    """Files that no job on record made and that jobs, whose own files are there, read in another state; a line each.

    contents: SHA-256 by path.
    """
    for record in records:
        if any(file.path in contents and records.of(file.path) is record for file in record.made):
            for file in record.inputs:
                found = contents.get(file.path)
                if found is not None and found != file.sha256 and records.of(file.path) is None:
                    yield f"{record.name} read {file.path} as {file.sha256[:12]}..., and it is {found[:12]}... now"


def _workflow(crate: ROCrate, checksums: Checksums, parts: list[Any], licence: Any) -> Any:
    workflow = crate.add_workflow(
        ROOT / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        properties={**_described(ROOT / "Snakefile", checksums.of(ROOT / "Snakefile")), "name": "temporal-trap"},
    )
    workflow["license"] = licence
    workflow["hasPart"] = parts
    return workflow


def _properties(records: Records, path: Path, name: str, checksums: Checksums) -> dict[str, Any]:
    """What the crate says of a file, once it is proven to be the one on record."""
    found = checksums.of(path)
    maker = records.of(name)
    if maker is None and path.is_symlink():
        raise InputError(f"file {path} is a link that no job made; expected a file of the study")
    if maker is not None:
        recorded = next(file.sha256 for file in maker.made if file.path == name)
        if recorded != found:
            raise InputError(
                f"file {path} is not as its job left it (SHA-256 {found[:12]}..., on record {recorded[:12]}...); "
                f"run `python -m workflow_scripts.provenance.audit {path}`"
            )
    return _described(path, found)


def _described(path: Path, sha256: str) -> dict[str, Any]:
    kind = FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    size = str(path.stat().st_size)
    return {"name": path.name, "sha256": sha256, "contentSize": size, "encodingFormat": kind}


def _actions(crate: ROCrate, jobs: Sequence[Record], entities: dict[str, Any], workflow: Any) -> None:
    """One action for the run of the workflow, and one for each job whose files are in the crate."""
    rules: dict[str, Any] = {}
    made = []
    for number, record in enumerate(jobs, 1):
        results = [entities[file.path] for file in record.made if file.path in entities]
        made += results
        if not results:
            continue
        if record.rule not in rules:
            kind = {"@type": "SoftwareApplication", "name": f"rule {record.rule}"}
            rules[record.rule] = crate.add(ContextEntity(crate, f"#rule-{record.rule}", kind))
        read = [entities[file.path] for file in record.inputs if file.path in entities]
        action = {
            "@type": "CreateAction",
            "name": record.name,
            "description": record.command,
            "startTime": record.started,
            "endTime": record.ended,
            "actionStatus": "http://schema.org/CompletedActionStatus",
        }
        done = crate.add_action(
            rules[record.rule], f"#job-{number}", object=_value(read), result=_value(results), properties=action
        )
        crate.root_dataset.append_to("mentions", done)
    whole = {
        "name": f"Run of {workflow['name']}",
        "startTime": min(record.started for record in jobs),
        "endTime": max(record.ended for record in jobs),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    done = crate.add_action(workflow, "#run", object=entities["config.yaml"], result=_value(made), properties=whole)
    crate.root_dataset.append_to("mentions", done)


def _value(entities: list[Any]) -> Any:
    """A single value stands without a list, as the specification recommends; none not at all."""
    return entities[0] if len(entities) == 1 else entities or None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="results/<study>")
    parser.add_argument("output", type=Path, help="folder to make, or archive ending in .zip")
    options = parser.parse_args(arguments)
    if options.output.exists() and not options.output.is_file():
        raise InputError(f"folder {options.output} is there already; expected a name that is free")
    crate = build(read_records(options.study), Checksums())
    with atomic_path(options.output) as partial:
        crate.write(partial)
        if options.output.suffix == ".zip":
            archive = shutil.make_archive(str(partial), "zip", partial)
            shutil.rmtree(partial)
            Path(archive).rename(partial)
    print(f"{options.output}: {len(crate.data_entities)} files of {options.study}")


if __name__ == "__main__":
    run(main)
