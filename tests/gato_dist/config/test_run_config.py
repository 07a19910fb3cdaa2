"""A configuration's numbers have ranges, and every key can be set on the command line, those in lists too."""

import pytest

from gato_dist.config.run_config import load_config
from gato_dist.errors import InputError
from gato_dist.seeds import evaluation_seeds, reference_seeds

TASKS = ("metaworld/reach-v3", "ale/pong")
YAML = f"""
name: t
tasks: [{{name: {TASKS[0]}, window_steps: 3}}, {{name: {TASKS[1]}}}]
corpora: [{{name: words, kind: text, paths: [a.txt, b.txt]}}]
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "t.yaml").write_text(YAML)
    return lambda *overrides: load_config(tmp_path / "t.yaml", list(overrides))


@pytest.mark.parametrize("key", ["tasks.1.weight", "tasks[1].weight"])
def test_a_part_of_a_list_is_set_and_the_others_stay(load, key):
    config = load(f"{key}=2")
    assert [(task.name, task.weight, task.window_steps) for task in config.tasks] == [
        (TASKS[0], 1.0, 3),
        (TASKS[1], 2.0, 1),
    ]


def test_nested_lists_sections_and_repeated_keys_are_set(load):
    config = load(
        "corpora.0.paths.1=c.txt", "tasks.0.expert_options.gain=0.5", "learner={batch: 8, steps: 9}", "seed=1",
        "seed=2", "tasks.0={weight: 4}", "learner.warmup_steps=${seed}",
    )  # fmt: skip
    assert config.corpora[0].paths == ("a.txt", "c.txt")
    assert config.tasks[0].expert_options == {"gain": 0.5}
    assert (config.tasks[0].weight, config.tasks[0].window_steps) == (4.0, 3)
    assert (config.learner.batch, config.learner.steps, config.learner.warmup_steps, config.seed) == (8, 9, 2, 2)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tasks.2.weight=2", "tasks.2.weight: there is no '2' in tasks; its entries are tasks.0 to tasks.1"),
        ("tasks[-1].weight=2", "there is no '-1' in tasks"),
        ("tasks.weight=2", "there is no 'weight' in tasks"),
        ("tasks.99999999999999999999.weight=2", "there is no '99999999999999999999' in tasks"),
        ("corpora.0.paths.2=c", "its entries are corpora.0.paths.0 to corpora.0.paths.1"),
        ("corpora.0.path=c", "corpora.0.path: no such key"),
        ("tasks.0.weigth=2", "tasks.0.weigth: no such key"),
        ("tasks.0.weight=", "tasks.0.weight: Input should be a valid number"),
        ("+seed=2", r"\+seed=2: overrides have the form key=value"),
        ("learner..batch=2", "overrides have the form key=value"),
        ("=2", "overrides have the form key=value"),
        ("seed.x=2", "seed: Input should be a valid integer"),
    ],
)
def test_an_override_that_fits_nowhere_is_refused_by_its_key(load, override, says):
    with pytest.raises(InputError, match=says):
        load(override)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=99999999999999999999", "seed: Input should be less than 4294967296, got 99999999999999999999"),
        ("seed=-1", "seed: Input should be greater than or equal to 0, got -1"),
        ("seed=1.5", "seed: Input should be a valid integer"),
        ("replay.port=65536", "replay.port: Input should be less than or equal to 65535, got 65536"),
        ("learner.steps=9223372036854775808", "learner.steps: Input should be less than or equal to"),
        ("tokens.length=32768", "tokens.length: Input should be less than 32768"),
        ("model.width=100000000", "model.width: Input should be less than or equal to"),
        ("actors.threads=100000", "actors.threads: Input should be less than or equal to"),
        ("learner.learning_rate=.nan", "learner.learning_rate: Input should be a finite number"),
        ("learner.minutes=.inf", "learner.minutes: Input should be a finite number"),
        ("tasks.0.weight=.inf", "tasks.0.weight: Input should be a finite number"),
    ],
)
def test_a_number_out_of_range_is_refused_by_key_and_range(load, override, says):
    with pytest.raises(InputError, match=says):
        load(override)


def test_ports_of_all_servers_must_exist(load):
    with pytest.raises(InputError, match=r"replay.port: 65535 leaves 2 servers no ports below 65536"):
        load("replay.port=65535", "replay.shards=2")


def test_more_worlds_than_there_are_of_a_kind_are_refused():
    assert evaluation_seeds(1, 2**30 - 1) == [2**31 - 1]
    for draw in (lambda: evaluation_seeds(1, 2**30), lambda: reference_seeds(1, 2**32 - 1)):
        with pytest.raises(InputError, match="--seed, --episodes: together they ask for"):
            draw()
