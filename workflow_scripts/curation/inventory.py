"""Rule `inventory`: find the annotation files of the chosen subsets and check them before any long work.

In: the data set's folder, as Hugging Face lays it out. Out: JSON `{"dataset", "subsets": [{"subset", "folder",
"annotations": [{"file", "format", "bytes", "sha256", "records"}]}]}`, paths relative to the data set's folder.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from workflow_scripts.curation.annotations import stream_array
from workflow_scripts.curation.registry import Format, registry
from workflow_scripts.settings import InputError, cli, files


def inventory(dataset: Path, subsets: list[str]) -> dict[str, Any]:
    """Describe the annotation files. Raises InputError naming a folder or file that is missing, empty or broken."""
    if not dataset.is_dir():
        raise InputError(f"dataset {dataset} is missing; expected the folder that holds the subsets")
    names = [registry().subset(name) for name in subsets]
    if len(set(names)) < len(names):
        raise InputError(f"subsets {' '.join(subsets)}: a subset is named twice")
    found = [(name, *_locate(dataset, name)) for name in names]
    with cli.progress(sum(len(paths) for _, _, paths in found), "annotation files") as advance:
        result = []
        for name, folder, paths in found:
            annotations = []
            for format_, path in paths.items():
                annotations.append(_describe(dataset, path, format_))
                advance()
            result.append({"subset": name, "folder": folder.name, "annotations": annotations})
    return {"dataset": registry().dataset, "subsets": result}


def _locate(dataset: Path, subset: str) -> tuple[Path, dict[Format, Path]]:
    entry = registry().subsets[subset]
    folders = [dataset / name for name in entry.folders if (dataset / name).is_dir()]
    if len(folders) != 1:
        state = "is missing" if not folders else "is there under both spellings"
        raise InputError(
            f"dataset {dataset}: subset {subset} {state}; expected one folder {' or '.join(entry.folders)}"
        )
    paths: dict[Format, Path] = {}
    for format_, spellings in entry.annotations.items():
        present = [folders[0] / name for name in spellings if (folders[0] / name).is_file()]
        if not present:
            raise InputError(f"file {folders[0] / spellings[0]} is missing; expected the {format_} annotations")
        paths[format_] = present[0]
    return folders[0], paths


def _describe(dataset: Path, path: Path, format_: str) -> dict[str, Any]:
    records = sum(1 for _ in stream_array(path))
    if not records:
        raise InputError(f"file {path} holds no records; expected a JSON array of records")
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    relative = path.relative_to(dataset).as_posix()
    return {"file": relative, "format": format_, "bytes": path.stat().st_size, "sha256": digest, "records": records}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="folder that holds the subset folders")
    parser.add_argument("--subsets", nargs="+", required=True, metavar="SUBSET", help="subsets to draw from")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    files.write_json(inventory(arguments.dataset, arguments.subsets), arguments.output)


if __name__ == "__main__":
    cli.run(main)
