"""Records put together from what Snakemake knows, the notes of processes, and the files."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workflow_scripts.content.checksums import file_sha256
from workflow_scripts.notes import job as notes
from workflow_scripts.provenance.gather import Gathered, gather, module_of
from workflow_scripts.provenance.records import read_records, record_path

ROOT = "results/tiny"
CODE = {"modules": {"workflow_scripts.draw": "a" * 12}, "packages": {"numpy": "2.4.6"}}


class Metadata(SimpleNamespace):
    """Snakemake's record of a file."""

    def model_dump(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Persistence:
    """Snakemake's records of the jobs' files."""

    def __init__(self) -> None:
        self.known: dict[str, Metadata] = {}
        self.incomplete_files: set[str] = set()

    def metadata(self, path: str) -> Metadata | None:
        return self.known.get(path)

    async def incomplete(self, job: Any) -> list[str]:
        return [path for path in job.output if path in self.incomplete_files]


class Study:
    """Jobs of two rules, `draw` and `train`, as Snakemake has them after a run."""

    def __init__(self) -> None:
        self.persistence = Persistence()
        self.jobs: list[Any] = []
        self.add("draw", [], ["curation/table.csv"], {"seed": 1, "code": CODE, "note": '{"a": 1}'})
        self.add("train", ["curation/table.csv"], ["run/model/config.json", "run/summary.json"], {"rate": 0.1})
        weights = Path(f"{ROOT}/run/model/model.safetensors")
        weights.write_text("weights")

    def add(self, rule: str, inputs: list[str], outputs: list[str], params: dict[str, Any]) -> None:
        """A job that has run."""
        command = f"python -m workflow_scripts.{rule} --text 'a b' --output {ROOT}/{outputs[0]} > log 2>&1"
        for name in outputs:
            Path(f"{ROOT}/{name}").parent.mkdir(parents=True, exist_ok=True)
            Path(f"{ROOT}/{name}").write_text(f"{rule} wrote {name}")
            self.finished(f"{ROOT}/{name}", rule, command, params, inputs=inputs)
        self.jobs.append(
            SimpleNamespace(
                rule=SimpleNamespace(name=rule),
                wildcards_dict={"seed": 1},
                params=params,
                input=[f"{ROOT}/{name}" for name in inputs],
                output=[f"{ROOT}/{name}" for name in outputs],
                benchmark=None,
            )
        )
        module = f"workflow_scripts.{rule}"
        self.note(module, ["--text", "a b", "--output", f"{ROOT}/{outputs[0]}"])

    def finished(
        self,
        path: str,
        rule: str,
        command: str,
        params: dict[str, Any],
        start: float = 1e9,
        inputs: Sequence[str] = (),
    ) -> None:
        read = [f"{ROOT}/{name}" for name in inputs]
        self.persistence.known[path] = Metadata(
            rule=rule,
            shellcmd=command,
            params=sorted(map(repr, params.values())),
            input=read,
            input_checksums={name: f"sha256:{file_sha256(Path(name))}" for name in read},
            starttime=start,
            endtime=os.stat(path).st_mtime,
        )

    def note(self, module: str, arguments: list[str], **changes: Any) -> Path:
        path = Path(f"{ROOT}/provenance/notes/{notes.name(module, arguments)}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        known = {
            "status": 0,
            "started": "2026-01-01T00:00:00.000+00:00",
            "ended": "2026-01-01T00:01:00.000+00:00",
            "wall_s": 60.0,
            "cpu_s": 50.0,
            "peak_memory_mb": 100.0,
            "processes": 1,
            "host": "node",
            "machine": {"system": "Linux", "processor": "a CPU", "cores": 2, "memory_gb": 8.0},
            "gpus": [],
            "slurm": {"SLURM_JOB_ID": "7"},
            "python": "3.11.2",
            "packages": {"numpy": "2.4.6"},
            "commit": None,
            "modules": {},
            "wrote": {},
            "earlier": [],
        }
        path.write_text(json.dumps({**known, **changes}))
        return path

    def gather(self) -> Gathered:
        return gather(self.jobs, self.persistence, "tiny", Path.cwd())


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    return Study()


def test_a_record_joins_snakemake_the_note_and_the_files(study: Study) -> None:
    assert study.gather().written == [f"{ROOT}/curation/table.csv", f"{ROOT}/run/model/config.json"]
    records = read_records(Path(ROOT))
    draw, train = records.of("curation/table.csv"), records.of("run/summary.json")
    assert draw is not None
    assert train is not None
    assert (draw.rule, draw.wildcards, draw.settings) == ("draw", {"seed": "1"}, {"seed": 1, "note": {"a": 1}})
    assert draw.code is not None
    assert draw.code.modules == CODE["modules"]
    assert draw.run is not None
    assert (draw.run.host, draw.run.slurm, draw.run.changed) == ("node", {"SLURM_JOB_ID": "7"}, None)
    assert train.inputs[0].sha256 == draw.outputs[0].sha256
    assert [file.path for file in train.beside] == [f"{ROOT}/run/model/model.safetensors"]


def test_inputs_are_those_that_the_job_read_not_those_that_are_there_since(study: Study) -> None:
    read = file_sha256(Path(f"{ROOT}/curation/table.csv"))
    Path(f"{ROOT}/curation/table.csv").write_text("edited between the two jobs' ends")
    study.jobs[1].input = [f"{ROOT}/curation/other.csv"]  # what the rule would read now
    study.gather()
    train = read_records(Path(ROOT)).of("run/summary.json")
    assert train is not None
    assert [(file.path, file.sha256) for file in train.inputs] == [(f"{ROOT}/curation/table.csv", read)]


def test_what_is_on_record_is_not_recorded_again(study: Study) -> None:
    study.gather()
    path = record_path(Path(ROOT), ROOT, f"{ROOT}/curation/table.csv")
    before = path.stat().st_mtime_ns
    assert study.gather() == Gathered()
    assert path.stat().st_mtime_ns == before


def test_a_file_edited_before_it_was_recorded_gets_no_record(study: Study) -> None:
    Path(f"{ROOT}/curation/table.csv").write_text("edited")
    os.utime(f"{ROOT}/curation/table.csv", (2e9, 2e9))
    gathered = study.gather()
    assert gathered.edited == [f"{ROOT}/curation/table.csv"]
    assert read_records(Path(ROOT)).of("curation/table.csv") is None


def test_an_edited_file_keeps_the_record_of_what_it_was(study: Study) -> None:
    study.gather()
    before = read_records(Path(ROOT)).of("curation/table.csv")
    Path(f"{ROOT}/curation/table.csv").write_text("edited")
    study.gather()
    assert read_records(Path(ROOT)).of("curation/table.csv") == before


def test_jobs_that_did_not_finish_have_no_record(study: Study) -> None:
    study.persistence.incomplete_files = {f"{ROOT}/run/summary.json"}
    del study.persistence.known[f"{ROOT}/curation/table.csv"]
    assert study.gather().written == []


@pytest.mark.parametrize("status", [None, 1])
def test_a_note_of_a_start_that_failed_is_of_no_result(study: Study, status: int | None) -> None:
    study.note("workflow_scripts.draw", ["--text", "a b", "--output", f"{ROOT}/curation/table.csv"], status=status)
    study.gather()
    record = read_records(Path(ROOT)).of("curation/table.csv")
    assert record is not None
    assert record.run is None


def test_files_kept_with_touch_keep_the_record_of_their_making(study: Study) -> None:
    study.gather()
    path = f"{ROOT}/curation/table.csv"
    before = read_records(Path(ROOT)).of(path)
    os.utime(path)
    study.jobs[0].params = {"seed": 2, "code": CODE}
    study.finished(path, "draw", "python -m workflow_scripts.draw --other", {"seed": 2, "code": CODE}, start=2e9)
    study.gather()
    after = read_records(Path(ROOT)).of(path)
    assert before is not None
    assert after is not None
    assert after.kept
    assert (after.settings, after.command, after.run) == (before.settings, before.command, before.run)
    assert after.snakemake["shellcmd"] == "python -m workflow_scripts.draw --other"  # what Snakemake holds it by


def test_a_job_that_ran_again_has_a_new_record(study: Study) -> None:
    study.gather()
    path = f"{ROOT}/curation/table.csv"
    os.utime(path)
    study.finished(path, "draw", study.persistence.known[path].shellcmd, {"seed": 1, "code": CODE}, start=2e9)
    study.note("workflow_scripts.draw", ["--text", "a b", "--output", path], host="another")
    study.gather()
    record = read_records(Path(ROOT)).of(path)
    assert record is not None
    assert record.run is not None
    assert (record.run.host, record.kept) == ("another", False)


def test_parameters_that_the_rule_gives_other_values_now_are_kept_without_a_name(study: Study) -> None:
    study.jobs[1].params = {"rate": 0.2}
    study.gather()
    record = read_records(Path(ROOT)).of("run/summary.json")
    assert record is not None
    assert record.settings == {"unnamed-1": 0.1}


def test_code_that_is_not_the_commits_is_named_and_comments_are_not_code(study: Study) -> None:
    names = ("same", "commented", "changed")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    Path("workflow_scripts").mkdir()
    for name in names:
        Path(f"workflow_scripts/{name}.py").write_text("x = 1\n")
    for command in (["init", "-q"], ["add", "workflow_scripts"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    Path("workflow_scripts/commented.py").write_text('"""Says."""\nx = 1  # one\n')
    Path("workflow_scripts/changed.py").write_text("x = 2\n")
    Path("workflow_scripts/new.py").write_text("x = 3\n")
    ran = {f"workflow_scripts/{name}.py": "" for name in (*names, "new")}
    modules = {path: notes.blob(Path(path).read_bytes()) for path in ran}
    arguments = ["--text", "a b", "--output", f"{ROOT}/curation/table.csv"]
    study.note("workflow_scripts.draw", arguments, commit=head, modules=modules)
    study.gather()
    record = read_records(Path(ROOT)).of("curation/table.csv")
    assert record is not None
    assert record.run is not None
    assert record.run.changed == ("workflow_scripts/changed.py", "workflow_scripts/new.py")


def test_sources_are_what_settings_name(study: Study) -> None:
    Path("base").mkdir()
    for name in ("config.json", "model.safetensors", "README.md"):
        Path(f"base/{name}").write_text(name)
    model = {"name": "m", "source": "base", "revision": None}
    hub = {"name": "h", "source": "o/h", "revision": "c" * 40}
    table = pd.DataFrame({"video": ["a.mp4", "a.mp4"], "sha256": ["0" * 64] * 2})
    study.add(
        "budgets", [], ["budgets/a.parquet"], {"predictor": json.dumps({"model": model}), "other": json.dumps(hub)}
    )
    study.add("manifest", [], ["curation/manifest.parquet"], {"root": "data"})
    table.to_parquet(f"{ROOT}/curation/manifest.parquet")
    os.utime(f"{ROOT}/curation/manifest.parquet", (1e9, 1e9))
    study.persistence.known[f"{ROOT}/curation/manifest.parquet"].endtime = 1e9
    study.gather()
    records = read_records(Path(ROOT))
    budgets, manifest = records.of("budgets/a.parquet"), records.of("curation/manifest.parquet")
    assert budgets is not None
    assert manifest is not None
    assert [(one.name, one.revision, [file.path for file in one.files]) for one in budgets.sources] == [
        ("m", None, ["config.json", "model.safetensors"]),
        ("h", "c" * 40, []),
    ]
    [videos] = manifest.sources
    assert (videos.kind, videos.place, videos.count) == ("videos", "data", 1)
    assert videos.listed_in == f"{ROOT}/curation/manifest.parquet"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m workflow_scripts.a.b --x 'y z' > log 2>&1", ("workflow_scripts.a.b", ["--x", "y z"])),
        (
            "trap : TERM USR1; srun --n=2 python -m torch.distributed.run --rdzv-endpoint $(hostname):$((2 % 1))"
            " -m workflow_scripts.a --n 1 > log 2>&1",
            ("workflow_scripts.a", ["--n", "1"]),
        ),
        ("python -m pip --version", None),
        ("echo 'open", None),
    ],
)
def test_the_module_of_a_command(command: str, expected: tuple[str, list[str]] | None) -> None:
    assert module_of(command) == expected
