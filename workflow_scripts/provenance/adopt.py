"""Take over results that were made elsewhere, once they are shown to be what their records say.

    make adopt
    python -m workflow_scripts.provenance.adopt results/paper

Reads every file that a study's jobs made and compares it with the records that came along. Where all agree, Snakemake
gets back what it had on record of each job, and the files their times, so that nothing runs again that has not changed.
A file with other content stops it: nothing is taken over then. A file that is not there is made again by the next run.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.provenance.gather import MEMORY
from workflow_scripts.provenance.loose import studies_in
from workflow_scripts.provenance.records import FOLDER, File, Record, Records, read_records
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import progress, run

THREADS = 4
SHOWN = 20


def adopt(folder: Path) -> tuple[int, list[str]]:
    """Take over the study in a folder. Returns the number of jobs, and the files that are not there.

    folder: results/<study>, from the working directory, where Snakemake's own records go too. Raises InputError where
    it holds no records or lies elsewhere than they say, and naming the files whose content is another.
    """
    records = read_records(folder)
    if Path(records.root) != folder:
        raise InputError(f"the records in {folder} are of {records.root}; expected the folder there")
    contents = _contents(records, folder)
    other = [file.path for one in records for file in one.made if contents[file.path] not in (None, file.sha256)]
    if other:
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        raise InputError(
            f"{len(other)} files are not what their records say, so nothing was taken over: {', '.join(other[:SHOWN])}"
            f"{more}; copy them again, or delete them to have them made again"
        )
    missing = [path for path, content in contents.items() if content is None]
    _restore(records, [_own(record) for record in records])
    return sum(not any(contents[file.path] is None for file in one.made) for one in records), missing


def unadopted(root: str) -> int:
    """How many jobs have a record in a study's folder and none in Snakemake's, from the working directory.

    root: results/<study>.
    """
    folder = Path(root) / FOLDER
    if not folder.is_dir():
        return 0
    persistence = _persistence()
    keys = (f"{root}/{path.relative_to(folder).as_posix().removesuffix('.json')}" for path in folder.rglob("*.json"))
    # one file a job, and its first output is there: a job whose files were deleted runs again anyway
    return sum(
        os.path.exists(key) and not os.path.exists(persistence._record_path(persistence._metadata_path, key))
        for key in keys
    )


def strangers(jobs: Iterable[Any], persistence: Any, root: str) -> list[str]:
    """Files of a study, each the first of its job, that Snakemake would trust although it has no record of them.

    What a killed run left is marked by Snakemake, and made again.
    """

    async def found() -> list[str]:
        return [
            str(job.output[0])
            for job in jobs
            if job.output
            and str(job.output[0]).startswith(f"{root}/")
            and all(os.path.exists(path) for path in job.output)
            and not persistence.has_metadata(job)
            and not await persistence.incomplete(job)
        ]

    return asyncio.run(found())


def _contents(records: Records, folder: Path) -> dict[str, str | None]:
    """SHA-256 of every file that a job made; None where it is not there."""
    # what was remembered came along with the files, and proves nothing
    (folder / MEMORY).unlink(missing_ok=True)
    checksums = Checksums(folder / MEMORY)
    paths = list(dict.fromkeys(file.path for record in records for file in record.made))
    contents: dict[str, str | None] = {}
    with progress(len(paths), f"files of {folder}") as advance, ThreadPoolExecutor(THREADS) as pool:
        for path, content in zip(paths, pool.map(lambda path: _content(checksums, path), paths), strict=True):
            contents[path] = content
            advance()
    checksums.remember()
    return contents


def _content(checksums: Checksums, path: str) -> str | None:
    return checksums.of(Path(path)) if os.path.isfile(path) else None


def _own(record: Record) -> Any:
    """What Snakemake knew of a job. Raises InputError where the record has nothing of the kind."""
    from pydantic import ValidationError
    from snakemake.persistence import MetadataRecord

    if record.snakemake.get("rule") != record.rule:
        raise InputError(f"the record of {record.key} has no record of Snakemake; expected one of rule {record.rule}")
    try:
        return MetadataRecord.model_validate({**record.snakemake, "endtime": 0.0})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"the record of {record.key} has no record of Snakemake: {where}: {first['msg']}") from None


def _restore(records: Iterable[Record], known: Iterable[Any]) -> None:
    """Give files their times, and Snakemake what it knew of them; where a job's file is missing, of the others."""
    persistence = _persistence()
    for record, one in zip(records, known, strict=True):
        for file in filter(_is_there, record.made):
            os.utime(file.path, ns=(file.mtime_ns, file.mtime_ns))
        for file in filter(_is_there, record.outputs):
            ended = os.stat(file.path).st_mtime
            persistence._write_record(file.path, one.model_copy(update={"endtime": ended}))


def _is_there(file: File) -> bool:
    return os.path.isfile(file.path)


def _persistence() -> Any:
    from snakemake.persistence.file import FilePersistence

    return FilePersistence(nolock=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="results/<study>; by default all studies with records")
    folders = parser.parse_args(arguments).folders or studies_in(Path("results"))
    if not folders:
        raise InputError("folder results holds no study with records; expected results/<study>/provenance/records")
    for folder in folders:
        jobs, missing = adopt(folder)
        print(f"{folder}: {jobs} jobs taken over")
        for path in missing[:SHOWN]:
            print(f"{path} is not there; the next run makes it", file=sys.stderr)
        if len(missing) > SHOWN:
            print(f"and {len(missing) - SHOWN} more", file=sys.stderr)


if __name__ == "__main__":
    run(main)
