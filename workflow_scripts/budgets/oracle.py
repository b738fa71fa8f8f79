"""Rule `oracle`: every sample gets its minimal sufficient budget, the ceiling of any predictor.

    python -m workflow_scripts.budgets.oracle --manifest manifest.parquet --truth truth.parquet \\
        --admissible 8 16 32 64 --output hybrid-oracle.parquet

The true budgets where a study knows them (`--truth`), else those that rule `likelihood` estimated (`--estimate`).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.budgets.allocation import read_allocation, write_allocation
from workflow_scripts.budgets.truth import read_truth
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import cli
from workflow_scripts.settings.files import read_parquet


def from_truth(manifest: Path, truth: Path, admissible: Sequence[int], output: Path) -> None:
    """Write the allocation of the true budgets."""
    samples = read_parquet(manifest, ["sample_id", "subset", "format"])
    decisions = [Decision(int(budget), {}) for budget in read_truth(truth, samples)]
    write_allocation(output, samples["sample_id"].tolist(), decisions, admissible=admissible)


def from_estimate(manifest: Path, estimate: Path, admissible: Sequence[int], output: Path) -> None:
    """Write an estimated allocation, with its evidence, as the oracle's."""
    samples = read_parquet(manifest, ["sample_id"])["sample_id"].tolist()
    found = read_allocation(estimate, sample_ids=samples, admissible=admissible).set_index("sample_id").loc[samples]
    decisions = [
        Decision(int(budget), json.loads(evidence))
        for budget, evidence in zip(found["budget"], found["evidence"], strict=True)
    ]
    write_allocation(output, samples, decisions, admissible=admissible)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--truth", type=Path, help="true budgets: subset, record_id, format, budget")
    known.add_argument("--estimate", type=Path, help="budgets/hybrid-likelihood.parquet")
    parser.add_argument("--admissible", type=int, nargs="+", required=True, help="admissible budgets, in frames")
    parser.add_argument("--output", type=Path, required=True, help="budgets/hybrid-oracle.parquet")
    options = parser.parse_args()
    if options.truth is not None:
        from_truth(options.manifest, options.truth, options.admissible, options.output)
    else:
        from_estimate(options.manifest, options.estimate, options.admissible, options.output)


if __name__ == "__main__":
    cli.run(main)
