"""Bad text: configurations, overrides, arguments, names of tasks, and users' own files of tasks."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from gato_dist.cli.main import make_parser
from gato_dist.cli.parser import parse_command
from gato_dist.config.run_config import load_config
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from gato_dist.tasks import match_tasks, task_entry, task_table
from gato_dist.tokens.text import TextTokenizer
from gato_dist.utils.file_names import task_file_name
from tests.fuzz.harness import command
from tests.fuzz.inputs import NAMES, TREES, damaged, deep, json_bytes, tampered
from tests.fuzz.kinds_types import Act, Draw

CONFIG = {
    "name": "t", "seed": 0, "tasks": [{"name": "metaworld/reach-v3", "weight": 1.0, "expert_options": {}}],
    "corpora": [{"name": "c", "kind": "text", "paths": ["c.txt"]}],
    "tokens": {"length": 64, "image_size": [16, 16], "text": "default"}, "model": {"width": 32, "layers": 1, "heads": 2},
    "learner": {"steps": 1, "batch": 4}, "replay": {"size": 10, "min_size": 1, "max_sequences_ahead": 5, "allow": ["10.0.0.0/8"]},
    "data": {"path": "d", "share": 0.5}, "evaluation": {"episodes": 1}, "ray": {"address": None},
}  # fmt: skip
TEXT = TextTokenizer.load()


def bad_config(draw: Draw, folder: Path) -> Act:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        data = draw(damaged(yaml.safe_dump(CONFIG).encode()))
    elif kind == 1:
        tags = [
            "!!python/object/apply:os.system ['touch ../executed']",
            "!!python/name:os.system",
            "!!binary x",
            "&a [*a]",
            "<<: *b",
        ]
        tags += [deep(3000), "{" * 3000, "a: &a [x, x]\nb: &b [*a, *a]\nname: *b", "${" * 500, deep(100_000)]
        data = f"name: {draw(st.sampled_from(tags))}\n".encode()
    else:
        data = yaml.safe_dump(draw(tampered(CONFIG))).encode("utf-8", "replace")
    (folder / "t.yaml").write_bytes(data)
    return lambda: _take_config(folder / "t.yaml", [])


def _take_config(path: Path, overrides: list[str]) -> None:
    load_config(path, overrides)
    command("train", str(path), *overrides, "--data", "nowhere")


def bad_override(draw: Draw, folder: Path) -> Act:
    keys = ["name", "seed", "tasks", "tasks.0.name", "tasks[0].weight", "learner.batch", "model", "model.preset", "tokens.text", "replay.allow",
            "data.path", "corpora", "corpora.0.paths", "learner", "evaluation.temperature", "ray.address", "", ".", "a.b.c", "learner.init"]  # fmt: skip
    words = [
        draw(st.sampled_from(keys) | st.text(max_size=12)) + draw(st.sampled_from(["=", "=", "=", "", "==", "+="]))
        + draw(TREES.map(lambda tree: tree if isinstance(tree, str) else json.dumps(tree)) | st.sampled_from([deep(2000), "{a", "[1,", "!!python/name:os.system"]))
        for _ in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    (folder / "t.yaml").write_text(yaml.safe_dump(CONFIG))
    return lambda: _take_config(folder / "t.yaml", words)


def bad_arguments(draw: Draw, folder: Path) -> Act:
    words = ["train", "collect", "evaluate", "tasks", "experts", "score", "list", "play", "report", "compare", "diagnose", "dataset", "info",
             "validate", "merge", "card", "export", "import", "checkpoint", "generate", "model", "tokenizer", "doctor", "--tasks", "--episodes",
             "--seed", "--out", "--steps", "--workers", "--run", "--data", "--video", "--format", "jat", "-1", "1e400", "--", "key=value", "--json"]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(words) | st.sampled_from(NAMES) | st.text(max_size=8), max_size=8))
    name = draw(st.sampled_from(NAMES) | st.text(max_size=12))
    reading = [
        ["checkpoint", "info", name], ["checkpoint", "export", name, "--out", "x.safetensors"], ["dataset", "info", name], ["report", name],
        ["compare", name, name, "--out", "x.html"], ["dataset", "card", name], ["dataset", "validate", name], ["generate", name],
        ["play", "--policy", "random", name, "--video", "x.mp4"], ["play", "--policy", "expert", "toy/none", "--video", name],
        ["evaluate", name, "--tasks", name], ["diagnose", name, name], ["dataset", "import", name, "--format", "jat", "--out", "new"],
        ["dataset", "merge", name, name, "--out", "new"], ["train", name], ["train", name, "--data", name], ["model", name],
        ["tokenizer", "train", "--input", name, "--out", "m.model"], ["experts", "score", f"none/{name}"], ["collect", name, "--episodes", "1", "--out", "d"],
    ]  # fmt: skip
    if draw(st.booleans()):
        return lambda: _parsed(chosen)
    words = draw(st.sampled_from(reading))
    if words[0] in ("play",) and (name.startswith(("ale/", "gymnasium/")) or "*" in name):
        words = ["model", name]
    return lambda: command(*words)


def _parsed(words: list[str]) -> None:
    try:
        parse_command(make_parser(), words)
    except SystemExit as end:
        if end.code not in (0, 2):
            raise RuntimeError(f"exit code {end.code}") from end
        raise InputError("usage") from end


def bad_glob(draw: Draw, folder: Path) -> Act:
    text = draw(st.sampled_from(NAMES) | st.text(max_size=30) | st.from_regex(r"[a-z_*?\[\]!,/-]{0,30}"))
    name = draw(st.sampled_from(["", "gymnasium/", "ale/", "minari/"])) + text

    def act() -> None:
        for task in match_tasks(name)[:3]:
            task_entry(task)
            task_spec(task)
            load_reference(task)

    return act


def bad_task_file(draw: Draw, folder: Path) -> Act:
    good = {
        "family": "ale",
        "defaults": {"expert": "guided"},
        "tasks": {"pong": {"env": "Pong-v5", "options": {"a": 1}}},
    }
    (folder / "gato_tasks").mkdir()
    data = (
        draw(damaged(yaml.safe_dump(good).encode()))
        if draw(st.booleans())
        else yaml.safe_dump(draw(tampered(good))).encode("utf-8", "replace")
    )
    (folder / "gato_tasks" / "mine.yaml").write_bytes(data)

    def act() -> None:
        task_table.cache_clear()
        try:
            own = [name for name in task_table() if name.startswith("mine/")]
            for name in own[:3]:
                task_spec(name)
        finally:
            (folder / "gato_tasks" / "mine.yaml").unlink()
            task_table.cache_clear()

    return act


def bad_reference(draw: Draw, folder: Path) -> Act:
    score = {
        "mean": 1.0,
        "std": 0.0,
        "episodes": 1,
        "seed": 0,
        "policy": "a",
        "policy_hash": "b",
        "success": None,
        "date": "c",
    }
    good = {"random": score, "expert": score, "moments": {"state": {"count": 1, "mean": [0.0], "variance": [1.0]}}}
    (folder / "gato_tasks" / "references").mkdir(parents=True)
    (folder / "gato_tasks" / "references" / f"{task_file_name('gymnasium/Mine-v0')}.json").write_bytes(
        draw(json_bytes(good))
    )
    return lambda: _used(load_reference("gymnasium/Mine-v0"))


def _used(reference: Any) -> None:
    from gato_dist.scores.table import ScoreRow

    ScoreRow.of("gymnasium/Mine-v0", [1.0, 2.0], reference, step=1, weights_version=1)
    if not reference.expert_is_random:
        str(reference.moments)


def bad_url(draw: Draw, folder: Path) -> Act:
    scheme = draw(
        st.sampled_from(
            [
                "file",
                "local",
                "foo",
                "memory",
                "data",
                "dir",
                "zip",
                "tar",
                "",
                "FILE",
                "s3 ",
                "simplecache::file",
                "../x",
                "reference",
            ]
        )
    )
    rest = draw(
        st.sampled_from(
            [
                "/x",
                "//x",
                "///x",
                "///etc/passwd",
                "//host/x",
                "///../../x",
                "//%00",
                "//[",
                "//x?y=z&",
                "///x#y",
                "//a:b@c:99999999/x",
            ]
        )
        | st.text(max_size=20)
    )
    words = draw(st.sampled_from([["dataset", "info"], ["dataset", "validate"], ["dataset", "card"]]))
    return lambda: command(*words, f"{scheme}:{rest}")


def bad_tokenizer(draw: Draw, folder: Path) -> Act:
    (folder / "text.model").write_bytes(draw(damaged(TEXT.model_bytes)))
    text = draw(st.text(max_size=40))

    def act() -> None:
        model = TextTokenizer.load(folder / "text.model")
        model.decode(model.encode(text))

    return act
