"""Who may import whom: nouns on the ground floor, verbs above, one place that closes the circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIRST_PARTY = ("gato_dist", "actors", "learner", "replay")
GROUND = {
    f"gato_dist.{name}"
    for name in (
        "specs",
        "episode",
        "sequence",
        "kinds",
        "tasks",
        "scores",
        "config",
        "config_sections",
        "ports",
        "errors",
        "files",
        "missing",
        "seal",
        "recovery",
        "listening",
        "plain",
        "seeds",
        "presets",
        "user_code",
        "signals",
        "statistics",
        "results",
        "scaling",
        "sources",
    )
}
WIRING = {
    f"gato_dist.{name}"
    for name in (
        "cli",
        "__main__",
        "cli_checkpoint",
        "cli_dataset",
        "cli_experiment",
        "few_shot",
        "few_shot_chart",
        "card",
        "dataset_page",
        "sharing",
        "run",
        "loop",
        "run_folder",
        "system",
        "replay_servers",
        "learner_job",
        "workers",
        "quarantine",
        "shortage",
        "connect",
        "status",
        "report",
        "report_parts",
        "energy",
        "charts",
        "drawing",
        "profiles",
        "score_log",
        "selection",
        "cost",
        "cli_arguments",
        "cli_scores",
        "compare",
        "compare_chart",
        "diagnose",
        "drift",
        "teacher_forcing",
        "measure",
        "scoring",
        "jobs",
        "collect",
        "collect_plan",
        "collect_progress",
        "collect_shard",
        "dataset_report",
        "offline",
        "disk",
        "task_list",
        "play",
        "film",
        "expert_training",
        "generate",
        "model_table",
        "doctor",
        "doctor_machine",
        "doctor_network",
        "doctor_tests",
        "finding",
        "relabelling",
        "pace",
        "effort",
        "usage_log",
    )
}


def floor(module: str) -> int:
    """0: nouns; 1: replay, model, environments; 2: actors, learner; 3: wiring."""
    if module in WIRING:
        return 3
    if module.startswith(("actors", "learner")):
        return 2
    if module.startswith(("replay", "gato_dist.model", "gato_dist.envs")):
        return 1
    assert module in GROUND or module.startswith("gato_dist.tokens"), f"{module} stands on no floor: say which"
    return 0


def modules() -> list[tuple[str, Path]]:
    paths = [path for package in FIRST_PARTY for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in paths if path.name != "__init__.py"
    ]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_its_own_floor_or_lower(module, path):
    for target in imports(path):
        if target.split(".")[0] not in FIRST_PARTY:
            continue
        assert floor(target) <= floor(module), f"{module} imports {target}, which stands higher"
        sides = {name.split(".")[0] for name in (module, target)}
        assert sides != {"actors", "learner"}, f"{module} imports {target}"


def test_package_files_stay_empty():
    for package in FIRST_PARTY:
        for path in (ROOT / package).rglob("__init__.py"):
            assert path.read_text() == "", path


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("learner.train", {"ray", "reverb", "tensorflow", "envpool", "gymnasium"}),
        ("gato_dist.config", {"torch", "ray", "reverb", "tensorflow", "envpool", "gymnasium"}),
        ("gato_dist.scores", {"torch", "ray", "reverb", "tensorflow", "envpool"}),
        ("gato_dist.tokens.packing", {"torch", "ray", "reverb", "tensorflow", "envpool"}),
        ("actors.rollout", {"torch", "ray", "reverb", "tensorflow"}),
        ("replay.mixture", {"torch", "ray", "reverb", "tensorflow"}),
        ("replay.corpora.chunks", {"torch", "ray", "reverb", "tensorflow", "envpool", "gymnasium", "PIL"}),
        ("gato_dist.cli", {"torch", "ray", "reverb", "tensorflow", "envpool", "numpy"}),
    ],
)
def test_light_modules_stay_light(module, forbidden):
    """Imported in a fresh interpreter: what a module pulls in counts, not only what it names."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not forbidden & set(done.stdout.split())
