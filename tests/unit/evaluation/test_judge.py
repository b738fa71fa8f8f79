"""A judge is asked where the settings say so, and only then; what it leaves open is an error."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.evaluation.conftest import World
from workflow_scripts.evaluation import evaluate
from workflow_scripts.evaluation.scores import read_responses
from workflow_scripts.evaluation.tasks import load_tasks
from workflow_scripts.settings import InputError, ModelSettings

HEAD = {"model": {"name": "m"}, "suite": "video", "frames": 8, "blind": False, "versions": {}}


@pytest.fixture
def verdicts() -> Iterator[Any]:
    """A chat model on this machine: `said` is what it says, None for nothing usable; `asked` collects its prompts."""

    class Judge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
            server.asked.append(prompt)  # type: ignore[attr-defined]
            said = server.said  # type: ignore[attr-defined]
            body = {} if said is None else {"choices": [{"message": {"content": said}}]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Judge)
    server.said, server.asked = "Correct", []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def judged(world: World, verdicts: Any, answerer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluates TempCompass, of which every third answer cannot be parsed, with a judge or without."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def run(judge: bool, output: Path) -> Any:
        settings = [world.settings["tempcompass"]]
        tasks = load_tasks(settings, world.root / "tasks", judge=judge)
        for task in tasks["tempcompass"].values():
            scope = task.config.process_results.__globals__
            scope["API_URL"] = f"http://127.0.0.1:{verdicts.server_port}/v1/chat/completions"
        count = iter(range(10**6))
        model = answerer("video", lambda task, doc: "perhaps" if next(count) % 3 == 0 else "yes, A", batch_size=1)
        model.tasks = dict(tasks["tempcompass"])
        evaluate.write(output, model, settings, tasks, HEAD | {"judge": judge})
        return read_responses(output)

    return run


def test_a_judge_is_asked_only_where_the_settings_say_so(judged: Any, verdicts: Any, tmp_path: Path) -> None:
    without = judged(False, tmp_path / "without")
    assert verdicts.asked == []
    unparsed = without[without["response"] == "perhaps"]
    assert len(unparsed) == 8
    assert (unparsed["score"] == 0).all()
    judge = judged(True, tmp_path / "with")
    assert (judge.loc[unparsed.index, "score"] == 1).all()
    assert sum("Model Prediction: perhaps" in prompt for prompt in verdicts.asked) == 8


def test_a_question_that_the_judge_leaves_open_is_an_error(judged: Any, verdicts: Any, tmp_path: Path) -> None:
    verdicts.said = None
    with pytest.raises(InputError, match=r"mini_tempcompass_\w+: the judge gave no verdict"):
        judged(True, tmp_path / "out")
    assert not (tmp_path / "out" / "scores.json").exists()


def test_a_judge_needs_a_key(
    tiny_settings: ModelSettings, command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["evaluate", *command(tiny_settings, "image", tmp_path, "--judge")])
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        evaluate.main()


@pytest.fixture
def tiny_settings() -> ModelSettings:
    """A model that is not there; it is not needed."""
    return ModelSettings(name="m", family="qwen2.5-vl", source="nowhere", size_b=1.0)
