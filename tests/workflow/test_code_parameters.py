"""Every rule that makes a file of a study names the code behind its command."""

import re

import pytest

from .conftest import ROOT

# Their outputs are shipped, and made again only on demand.
SHIPPED = {"pretrain", "predictors_in_miniature"}


def rules() -> dict[str, str]:
    """The text of each rule with an output and a command, by name."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"^(?= *(?:use )?rule[ :])", path.read_text(), flags=re.MULTILINE)[1:]:
            named = re.match(r" *rule(?: (\w+))?:", block)
            if named and "    output:" in block and "python -m" in block + "python -m" * ("launcher" in block):
                found[named[1] or path.stem] = block
    return found


RULES = rules()


def test_the_rules_are_found() -> None:
    assert {"inventory", "store", "train", "evaluate", "scores", "figures", "record"} <= set(RULES)


@pytest.mark.parametrize("name", sorted(set(RULES) - SHIPPED))
def test_the_parameter_is_of_the_command_that_runs(name: str) -> None:
    command = re.search(r"-m workflow_scripts\.(figures\.\{params\.figure\}|[\w.]+)", RULES[name])
    assert command is not None
    wanted = command[1].replace("{params.figure}", "{experiment.figure}")
    assert re.search(rf"^ +code=code\(f?\"{re.escape(wanted)}\"\),$", RULES[name], re.MULTILINE)
