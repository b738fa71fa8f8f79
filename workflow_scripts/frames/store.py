"""Rule `store`: one shard of the frame store, and the reader of its shards.

In: a manifest or a list of videos, and their root. Out: an Arrow IPC file with SCHEMA, a record batch a video, in the
order of the videos' paths; beside it a CSV with video, reason, detail of those that could not be decoded. A shard is
whole or absent, and the same input gives the same bytes. The schema's metadata say which frames were taken (`frames`,
JSON), the footer's which videos are there (`videos`, JSON), so that opening a shard reads none of its rows.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from PIL import Image

from workflow_scripts.content.cells import harmless
from workflow_scripts.frames.rows import Recipe, Row, make_row
from workflow_scripts.settings import InputError, cli, files
from workflow_scripts.settings.frames import SamplingMethod
from workflow_scripts.settings.workers import Outcome, each
from workflow_scripts.video.sampling import UNIFORM, Sampling
from workflow_scripts.vlm.media import Clip

SCHEMA = pa.schema(
    [
        ("video", pa.string()),  # relative to the root
        ("n_frames", pa.int32()),  # of the clip, not of what is stored
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),  # mean over the clip
        ("frame_index", pa.list_(pa.int32())),
        ("timestamp_s", pa.list_(pa.float64())),  # from the clip's first frame
        ("jpeg", pa.list_(pa.binary())),
        ("effective_budget", pa.list_(pa.int32())),  # distinct frames of each budget, in the order of the metadata
    ]
)
READ = SCHEMA.names[:-1]


class FrameStore:
    """Clips by video, from memory-mapped shards. Safe to pickle and to fork: each process maps the files for itself."""

    def __init__(self, paths: str | Path | Iterable[str | Path], sampling: Sampling | None = None) -> None:
        """Map the shards. sampling: what they must have been made with; None: whatever it was, the same in all.

        Raises InputError where one is missing, is not a frame store or has another sampling, or a video is in two.
        """
        self.paths = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
        self._expected = sampling
        self._readers: list[pa.ipc.RecordBatchFileReader] = []
        self._places: dict[str, tuple[int, int]] = {}
        for number, path in enumerate(self.paths):
            reader = _map(path)
            found = _sampling(reader)
            sampling = sampling or found
            if found != sampling:
                raise InputError(f"file {path} holds frames sampled by {found}; expected {sampling}")
            self._readers.append(reader)
            for batch, video in enumerate(_videos(reader)):
                if video in self._places:
                    other = self.paths[self._places[video][0]]
                    raise InputError(f"file {path}: video {video} is also in {other}; expected each in one shard")
                self._places[video] = (number, batch)
        self.sampling = sampling or UNIFORM

    @property
    def videos(self) -> set[str]:
        """Paths of the stored videos."""
        return set(self._places)

    def clip(self, video: str, frames: int, last: bool = False) -> Clip:
        """The clip at a budget: the frames that the store's sampling takes, each once.

        See `Sampling.indices` for last. Raises InputError where the video is not stored, or was stored for other
        budgets or without its last frame.
        """
        row, wanted, where, what = self._at_budget(video, frames, last)
        return _clip(row, wanted, where, what)

    def checksum(self, video: str, frames: int, last: bool = False) -> tuple[str, int]:
        """SHA-256 of the clip that `clip` gives, over its JPEGs, their times and the duration; and how many frames.

        Nothing is decoded. Raises InputError as `clip` does.
        """
        row, wanted, where, what = self._at_budget(video, frames, last)
        places = _places(row, wanted, where, what)
        digest = hashlib.sha256(row.column("timestamp_s")[0].values.to_numpy()[places].tobytes())
        digest.update(np.float64(_value(row, "duration_s")).tobytes())
        jpegs = row.column("jpeg")[0].values
        for place in places:
            # A checksum of each, for its length: of the bytes alone, two clips could hold the same.
            digest.update(hashlib.sha256(jpegs[int(place)].as_buffer()).digest())
        return digest.hexdigest(), len(places)

    def clip_of_all(self, video: str, budgets: Sequence[int]) -> tuple[Clip, dict[int, list[int]]]:
        """The clip of every frame that one of the budgets takes, and each budget's frames by their places in it."""
        path, row = self._row(video)
        n, duration_s = _value(row, "n_frames"), _value(row, "duration_s")
        union = self.sampling.union(n, budgets, duration_s)
        clip = _clip(row, union, f"file {path}, video {video}", f"budgets {', '.join(map(str, budgets))}")
        place = {index: position for position, index in enumerate(union)}
        return clip, {b: [place[i] for i in self.sampling.indices(n, b, duration_s)] for b in budgets}

    def _at_budget(self, video: str, frames: int, last: bool) -> tuple[pa.RecordBatch, list[int], str, str]:
        """A video's row, the frames that a budget takes, and words for where and what in an error."""
        path, row = self._row(video)
        wanted = self.sampling.indices(_value(row, "n_frames"), frames, _value(row, "duration_s"), last)
        return row, wanted, f"file {path}, video {video}", f"budget {frames}{', with the last,' if last else ''}"

    def extent(self, video: str, frames: int) -> tuple[int, int]:
        """How many frames `clip` gives at a budget, and the pixels of each. Decodes none."""
        _, row = self._row(video)
        wanted = self.sampling.indices(_value(row, "n_frames"), frames, _value(row, "duration_s"))
        with Image.open(io.BytesIO(memoryview(row.column("jpeg")[0].values[0].as_buffer()))) as image:
            return len(wanted), image.width * image.height

    def _row(self, video: str) -> tuple[Path, pa.RecordBatch]:
        if video not in self._places:
            raise InputError(
                f"video {video} is not in the frame store ({self._describe()}); see the quarantine beside it"
            )
        number, batch = self._places[video]
        return self.paths[number], self._readers[number].get_batch(batch)

    def _describe(self) -> str:
        return (
            f"{self.paths[0]}{f' and {len(self.paths) - 1} more' if len(self.paths) > 1 else ''}"
            if self.paths
            else "empty"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameStore, (self.paths, self._expected)


def _map(path: Path) -> pa.ipc.RecordBatchFileReader:
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a shard of the frame store")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise InputError(f"file {path} is not an Arrow file ({error}); expected a shard of the frame store") from None
    if any(name not in reader.schema.names or reader.schema.field(name) != SCHEMA.field(name) for name in READ):
        raise InputError(f"file {path} has columns {', '.join(reader.schema.names)}; expected {', '.join(READ)}")
    return reader


def _sampling(reader: pa.ipc.RecordBatchFileReader) -> Sampling:
    """What a shard says of its frames; one that says nothing holds uniform ones."""
    told = (reader.schema.metadata or {}).get(b"frames")
    return Sampling(**json.loads(told)["sampling"]) if told else UNIFORM


def _videos(reader: pa.ipc.RecordBatchFileReader) -> list[str]:
    """Videos of a shard in the order of its record batches: from its index, or from the rows where it has none."""
    told = (reader.metadata or {}).get(b"videos")
    if told:
        videos: list[str] = json.loads(told)
        return videos
    return [reader.get_batch(batch).column("video")[0].as_py() for batch in range(reader.num_record_batches)]


def _value(row: pa.RecordBatch, column: str) -> Any:
    return row.column(column)[0].as_py()


def _places(row: pa.RecordBatch, wanted: Sequence[int], where: str, what: str) -> np.ndarray:
    """Where the wanted frames are among the stored ones; raises InputError where one is not."""
    stored = row.column("frame_index")[0].values.to_numpy()
    places = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
    if not np.array_equal(stored[places], wanted):
        raise InputError(
            f"{where}: the frames of {what} are not all there; expected one of the budgets that the store was made for"
        )
    return places


def _clip(row: pa.RecordBatch, wanted: Sequence[int], where: str, what: str) -> Clip:
    places = _places(row, wanted, where, what)
    jpegs = row.column("jpeg")[0].values
    images = [_read_jpeg(memoryview(jpegs[int(place)].as_buffer())) for place in places]
    stamps = row.column("timestamp_s")[0].values.to_numpy()[places]
    return Clip(np.stack(images), stamps, _value(row, "duration_s"))


def _read_jpeg(data: memoryview) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def shard_videos(videos: Iterable[str], shard: int, shards: int) -> list[str]:
    """The shard's videos: every `shards`-th of the sorted, distinct paths, from number `shard` on."""
    return sorted(set(videos))[shard::shards]


def write_shard(
    videos: Sequence[str], recipe: Recipe, output: Path, quarantine: Path, *, workers: int = 1, timeout_s: float = 600.0
) -> int:
    """Decode the videos and write the shard, holding a few videos in memory at a time. Returns the number stored."""
    told = {"sampling": recipe.sampling.record(), "budgets": recipe.budgets, "last_frame": recipe.last_frame}
    schema = SCHEMA.with_metadata({"frames": json.dumps(told)})
    stored: list[str] = []
    rejected: list[tuple[str, str, str]] = []
    output.parent.mkdir(parents=True, exist_ok=True)
    # Rows wait in a file without a name, gone with the process however it ends: the index must be there before them.
    with tempfile.TemporaryFile(dir=output.parent) as rows:
        with pa.ipc.new_stream(rows, schema) as writer, cli.progress(len(videos), "videos decoded") as advance:
            outcomes = each(
                partial(make_row, recipe),
                videos,
                workers=workers,
                timeout_s=timeout_s,
                preload=["pyarrow", "workflow_scripts.frames.rows", "workflow_scripts.frames.decode"],
            )
            for video, outcome in zip(videos, outcomes, strict=True):
                row = _judge(outcome, timeout_s)
                if isinstance(row, tuple):
                    rejected.append((video, *row))
                else:
                    writer.write_batch(pa.RecordBatch.from_pylist([row], schema=schema))
                    stored.append(video)
                advance()
        rows.seek(0)
        with files.atomic_path(output) as temporary, files.atomic_path(quarantine) as listed:
            index = {"videos": json.dumps(stored)}
            with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema, metadata=index) as final:
                for batch in pa.ipc.open_stream(rows):
                    final.write_batch(batch)
            with listed.open("w", newline="", encoding="utf-8") as handle:
                rows_left_out = [[harmless(cell) for cell in row] for row in rejected]
                csv.writer(handle, lineterminator="\n").writerows([("video", "reason", "detail"), *rows_left_out])
    return len(stored)


def _judge(outcome: Outcome[Row | tuple[str, str]], timeout_s: float) -> Row | tuple[str, str]:
    if outcome.hung:
        return "hang", f"not decoded within {timeout_s:g} s"
    if outcome.exit_code is not None:
        return "crash", f"the decoding process ended with {outcome.exit_code}"
    if outcome.value is None:
        return "undecodable", f"{type(outcome.error).__name__}: {outcome.error}"
    return outcome.value


def read_videos(path: Path) -> list[str]:
    """The column `video` of a Parquet or CSV file. Raises InputError where there is none."""
    if path.suffix != ".csv":
        return list(files.read_parquet(path, ["video"])["video"])
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a CSV with a column video")
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        if "video" not in (reader.fieldnames or ()):
            raise InputError(f"file {path}: columns are {reader.fieldnames}; expected one named video")
        return [row["video"] for row in reader]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--videos", type=Path, required=True, help="manifest.parquet, whose videos must all exist, or a CSV"
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that the paths of the videos start from")
    parser.add_argument("--shard", type=int, default=0, help="number of this shard, from 0")
    parser.add_argument("--shards", type=int, default=1, help="number of shards")
    parser.add_argument("--budgets", type=int, nargs="+", required=True, help="admissible numbers of frames")
    parser.add_argument("--sampling", choices=get_args(SamplingMethod), default="uniform", help="frames.sampling")
    parser.add_argument("--fps", type=float, help="frames.fps; for --sampling fps")
    parser.add_argument("--last-frame", action="store_true", help="store each video's last frame besides")
    parser.add_argument("--max-pixels", type=int, required=True, help="largest stored frame, pixels")
    parser.add_argument("--jpeg-quality", type=int, default=95, help="1 to 100")
    parser.add_argument("--workers", type=int, default=1, help="decoding processes")
    parser.add_argument(
        "--timeout", type=float, default=600.0, help="seconds after which decoding one video is given up"
    )
    parser.add_argument("--output", type=Path, required=True, help="shard-<k>.arrow")
    parser.add_argument("--quarantine", type=Path, required=True, help="shard-<k>.quarantine.csv")
    arguments = parser.parse_args()
    if not 0 <= arguments.shard < arguments.shards:
        raise InputError(f"--shard is {arguments.shard}; expected 0 to {arguments.shards - 1}")
    if min(arguments.budgets) < 1 or arguments.max_pixels < 1 or not 1 <= arguments.jpeg_quality <= 100:
        raise InputError("--budgets and --max-pixels must be at least 1, and --jpeg-quality 1 to 100")
    if not arguments.root.is_dir():
        raise InputError(f"--root {arguments.root} is missing; expected the folder that holds the videos")
    videos = shard_videos(read_videos(arguments.videos), arguments.shard, arguments.shards)
    missing = [video for video in videos if not (arguments.root / video).exists()]
    if missing and arguments.videos.suffix != ".csv":  # a manifest lists probed files; a list only names them
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"file {arguments.videos}: video {missing[0]}{more} is missing in {arguments.root}; expected a file"
        )
    recipe = Recipe(
        arguments.root,
        tuple(arguments.budgets),
        arguments.max_pixels,
        arguments.jpeg_quality,
        last_frame=arguments.last_frame,
        sampling=Sampling(arguments.sampling, arguments.fps if arguments.sampling == "fps" else None),
    )
    stored = write_shard(
        videos, recipe, arguments.output, arguments.quarantine, workers=arguments.workers, timeout_s=arguments.timeout
    )
    print(f"{stored} of {len(videos)} videos stored")


if __name__ == "__main__":
    cli.run(main)
