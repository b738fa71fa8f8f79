"""Run `snakemake --lint` and fail on any finding but two kinds.

One asks for a conda environment or container in each rule; this workflow has one locked environment, envs/. The other
asks for a log in each rule; the targets of rules/fetch.smk and rules/plan.smk speak to the person who called them.
"""

import subprocess
import sys
from pathlib import Path

EXCEPTED = "Specify a conda environment or container for each rule."
NO_LOG = "No log directive defined"
SPEAKING = ("rules/fetch.smk", "rules/plan.smk")


def findings(report: str) -> list[str]:
    """Findings of a lint report, each with the file or rule it is about, without the excepted one."""
    found, about = [], ""
    for line in report.splitlines():
        if line.startswith("Lints for "):
            about = line.removeprefix("Lints for ").rstrip(":")
        elif NO_LOG in line and any(name in about for name in SPEAKING):
            continue
        elif line.startswith("    * ") and EXCEPTED not in line:
            found.append(f"{about}: {line.removeprefix('    * ').rstrip(':')}")
    return found


def main() -> None:
    snakemake = Path(sys.executable).parent / "snakemake"
    done = subprocess.run([str(snakemake), "--lint"], capture_output=True, text=True, check=False)
    found = findings(done.stderr + done.stdout)
    if "Lints for " not in done.stderr + done.stdout and done.returncode:
        sys.exit(done.stderr)
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main()
