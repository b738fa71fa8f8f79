import copy
from typing import Any

import pytest

from workflow_scripts.settings.paper import PAPER


@pytest.fixture
def paper() -> dict[str, Any]:
    """The paper's study, free to be changed."""
    return copy.deepcopy(PAPER)
