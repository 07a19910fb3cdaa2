"""The worked examples of CONTRIBUTING.md run as they are written: a suite, an expert and a part of the model."""

import re
import sys
import textwrap

import numpy as np
import pytest

import actors.experts.scripts
import gato_dist.envs.suites
from actors.experts import makers, registry
from actors.experts.registry import ExpertKind, make_expert
from actors.rollout import episodes
from gato_dist.envs.registry import task_spec
from gato_dist.tasks import task_table
from tests.contracts import test_suites as contract
from tests.support.paths import ROOT

BLOCK = re.compile(r"^ *```(?:python|yaml)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """Returns the code blocks by the path in their first line."""
    found = map(textwrap.dedent, BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    return {block.splitlines()[0].removeprefix("# "): block for block in found}


@pytest.fixture
def corridor(tmp_path, monkeypatch):
    """The suite and the expert of the examples, as if their files were in the repository."""
    code = blocks()
    for package, path in (
        (gato_dist.envs.suites, "gato_dist/envs/suites/corridor.py"),
        (actors.experts.scripts, "actors/experts/scripts/corridor.py"),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(code[path], "utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    tasks = tmp_path / "gato_tasks" / "corridor.yaml"
    tasks.parent.mkdir()
    tasks.write_text(code["gato_dist/assets/tasks/corridor.yaml"], "utf-8")
    monkeypatch.chdir(tmp_path)
    task_table.cache_clear()
    defined = dict(vars(makers))
    exec(code["actors/experts/makers.py"], defined)
    kind = ExpertKind(defined["make_corridor_script"], labels=True)
    monkeypatch.setitem(registry.EXPERT_KINDS, ("scripted", "corridor"), kind)
    yield "corridor/short"
    task_table.cache_clear()
    for name in ("gato_dist.envs.suites.corridor", "actors.experts.scripts.corridor"):
        sys.modules.pop(name, None)


def test_the_example_suite_fulfils_the_contract(corridor):
    contract.test_episodes_match_the_tasks_spec(corridor)
    contract.test_the_same_seed_gives_the_same_episode(corridor)
    contract.test_an_episode_at_the_limit_is_truncated_and_not_terminated(corridor)
    contract.test_different_seeds_give_different_episodes(corridor)
    contract.test_drawing_an_environment_does_not_change_its_episode(corridor)


def test_the_example_expert_always_reaches_the_goal(corridor):
    made = make_expert(corridor, list(range(20)))
    played = list(episodes(made.env, made.policy, made.provenance(), once=True))
    made.env.close()
    assert [episode.success for episode in played] == [True] * 20
    part = task_spec(corridor).observations[0].name
    assert all(len(np.asarray(episode.observations[part])) == len(episode) for episode in played)


def test_the_example_part_of_the_model_acts_as_it_trains(monkeypatch):
    from gato_dist.model import transformer
    from tests.gato_dist.model import test_decode as decoding

    defined = dict(vars(transformer))
    exec(blocks()["gato_dist/model/transformer.py"], defined)
    monkeypatch.setattr(transformer, "FeedForward", defined["SquaredReluFeedForward"])
    decoding.test_cached_states_equal_a_plain_pass_over_the_window(3, {})
