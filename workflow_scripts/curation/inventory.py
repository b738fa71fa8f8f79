"""Rule `inventory`: find the annotation files of the chosen subsets, and read and check every record, once.

In: the data set's folder, as Hugging Face lays it out. Out: JSON `{"dataset", "seed", "subsets": [{"subset", "folder",
"annotations": [{"file", "format", "bytes", "sha256", "records", "malformed"}]}]}`, paths relative to the data set's
folder; the index (INDEX in workflow_scripts/curation/population.py); `malformed.csv` with video, reason, detail.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.curation.population import INDEX, read_annotations, uncollected
from workflow_scripts.curation.quarantine import Row, write_quarantine
from workflow_scripts.curation.reading import Memory
from workflow_scripts.curation.registry import Format, registry
from workflow_scripts.settings import InputError, cli, files


@dataclass(frozen=True)
class Survey:
    """What the rule writes: the description of the files, the index, rows of the quarantine."""

    inventory: dict[str, Any]
    index: pa.Table
    malformed: list[Row]


@uncollected()
def survey(dataset: Path, subsets: list[str], seed: int) -> Survey:
    """Read the annotation files. Raises InputError naming a folder or file that is missing, empty or broken.

    seed: of the draw; it decides which of a video's records stands for it.
    """
    if not dataset.is_dir():
        raise InputError(f"dataset {dataset} is missing; expected the folder that holds the subsets")
    names = [registry().subset(name) for name in subsets]
    if len(set(names)) < len(names):
        raise InputError(f"subsets {' '.join(subsets)}: a subset is named twice")
    located = [(name, *_locate(dataset, name)) for name in names]
    described: list[dict[str, Any]] = []
    tables, malformed = [INDEX.empty_table()], []
    sizes = [path.stat().st_size for _, _, paths in located for path in paths.values()]
    memory, total = Memory(max(sizes, default=0)), sum(sizes)
    with cli.progress(total >> 20, "MiB of annotations") as advance:
        read = 0
        for name, folder, paths in located:
            annotations = []
            for format_, path in paths.items():
                found = read_annotations(dataset, path.relative_to(dataset).as_posix(), name, format_, seed, memory)
                if not found.records:
                    raise InputError(f"file {path} holds no records; expected a JSON array of records")
                annotations.append(
                    {
                        "file": path.relative_to(dataset).as_posix(),
                        "format": format_,
                        "bytes": found.bytes,
                        "sha256": found.sha256,
                        "records": found.records,
                        "malformed": len(found.malformed),
                    }
                )
                tables.append(found.index)
                malformed += found.malformed
                advance(((read + found.bytes) >> 20) - (read >> 20))
                read += found.bytes
            described.append({"subset": name, "folder": folder.name, "annotations": annotations})
    index = pa.concat_tables(tables).unify_dictionaries()
    return Survey({"dataset": registry().dataset, "seed": seed, "subsets": described}, index, malformed)


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="folder that holds the subset folders")
    parser.add_argument("--subsets", nargs="+", required=True, metavar="SUBSET", help="subsets to draw from")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--output", type=Path, required=True, help="inventory.json")
    parser.add_argument("--index", type=Path, required=True, help="index.parquet")
    parser.add_argument("--malformed", type=Path, required=True, help="malformed.csv")
    arguments = parser.parse_args()
    found = survey(arguments.dataset, arguments.subsets, arguments.seed)
    write_quarantine(found.malformed, arguments.malformed)
    files.write_parquet(found.index, arguments.index)
    files.write_json(found.inventory, arguments.output)
    records = sum(entry["records"] for subset in found.inventory["subsets"] for entry in subset["annotations"])
    print(f"{records} records, {len(found.malformed)} of them malformed")


if __name__ == "__main__":
    cli.run(main)
