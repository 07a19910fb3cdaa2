"""The rule of imports: each folder is on a floor, and modules import from their own floor or lower ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FIRST_PARTY = ("gato_dist", "actors", "learner", "replay")
# Folders of gato_dist by floor. A module directly in `gato_dist/` is on floor 0.
FLOORS = (
    (
        3,
        (
            "cli",
            "commands",
            "training",
            "supervisor",
            "datasets",
            "evaluation",
            "experiments",
            "report",
            "plots",
            "records",
            "doctor",
        ),
    ),
    (1, ("model", "envs")),
    (0, ("config", "scores", "tokens", "utils")),
)
PACKAGES = {"replay": 1, "actors": 2, "learner": 2}
MAX_ROOT_MODULES = 13
MAX_FOLDER_MODULES = 20


def floor(module: str) -> int:
    """Returns the floor of a module. 0: data types, helpers; 1: replay, model, envs; 2: actors, learner; 3: wiring."""
    package, *folders = module.split(".")
    if package in PACKAGES:
        return PACKAGES[package]
    if len(folders) < 2:
        return 3 if folders == ["__main__"] else 0
    for number, names in FLOORS:
        if folders[0] in names:
            return number
    raise AssertionError(f"gato_dist/{folders[0]}/ is on no floor: add it to FLOORS")


def modules() -> list[tuple[str, Path]]:
    """Returns the name and path of every module of the project."""
    paths = [path for package in FIRST_PARTY for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in paths if path.name != "__init__.py"
    ]


def imports(path: Path) -> set[str]:
    """Returns the project's modules that a file imports. `from a import b` counts as `a.b` if that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = ROOT.joinpath(*node.module.split("."))
            found |= {
                f"{node.module}.{alias.name}" if (base / f"{alias.name}.py").exists() else node.module
                for alias in node.names
            }
    return {name for name in found if name.split(".")[0] in FIRST_PARTY}


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_from_its_own_floor_or_lower(module, path):
    for target in imports(path):
        assert floor(target) <= floor(module), f"{module} imports {target}, which is on a higher floor"
        packages = {name.split(".")[0] for name in (module, target)}
        assert packages != {"actors", "learner"}, f"{module} imports {target}"


def unit(module: str) -> str:
    """Returns the unit for circular imports: a folder, or a single module directly in `gato_dist/`."""
    folder = module.rsplit(".", 1)[0]
    return module if folder == "gato_dist" else folder


def test_folders_do_not_import_each_other_in_a_circle():
    edges: dict[str, set[str]] = {}
    for module, path in modules():
        own = unit(module)
        for target in imports(path):
            if (other := unit(target)) != own:
                edges.setdefault(own, set()).add(other)
    done: set[str] = set()

    def visit(folder: str, trail: list[str]) -> None:
        assert folder not in trail, " → ".join([*trail[trail.index(folder) :], folder])
        if folder not in done:
            for other in sorted(edges.get(folder, ())):
                visit(other, [*trail, folder])
            done.add(folder)

    for folder in sorted(edges):
        visit(folder, [])


def test_no_folder_holds_too_many_modules():
    counts: dict[Path, int] = {}
    for _, path in modules():
        counts[path.parent] = counts.get(path.parent, 0) + 1
    assert counts[ROOT / "gato_dist"] <= MAX_ROOT_MODULES
    assert max(counts.values()) <= MAX_FOLDER_MODULES


def test_package_files_stay_empty():
    for package in FIRST_PARTY:
        for path in (ROOT / package).rglob("__init__.py"):
            assert path.read_text(encoding="utf-8") == "", path


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("learner.train", {"ray", "reverb", "tensorflow", "envpool", "gymnasium"}),
        ("gato_dist.config.run_config", {"torch", "ray", "reverb", "tensorflow", "envpool", "gymnasium"}),
        ("gato_dist.scores.references", {"torch", "ray", "reverb", "tensorflow", "envpool"}),
        ("gato_dist.tokens.packing", {"torch", "ray", "reverb", "tensorflow", "envpool"}),
        ("actors.rollout", {"torch", "ray", "reverb", "tensorflow"}),
        ("replay.mixture", {"torch", "ray", "reverb", "tensorflow"}),
        ("replay.corpora.chunks", {"torch", "ray", "reverb", "tensorflow", "envpool", "gymnasium", "PIL"}),
        ("gato_dist.cli.main", {"torch", "ray", "reverb", "tensorflow", "envpool", "numpy"}),
    ],
)
def test_light_modules_do_not_load_heavy_libraries(module, forbidden):
    """Imports each module in a fresh interpreter, so that indirect imports count too."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not forbidden & set(done.stdout.split())
