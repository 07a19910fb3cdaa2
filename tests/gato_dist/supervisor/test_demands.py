"""What a run reserves of Ray, and the messages about what no node offers."""

import pytest

from gato_dist.config.run_config import parse_config
from gato_dist.errors import InputError
from gato_dist.supervisor.demands import demands, unmet

CLUSTER = {"name": "x", "tasks": [{"name": "babyai/go-to-red-ball-grey"}], "ray": {"address": "auto"}}


def lines(nodes: list[dict[str, float]], **sections: dict) -> list[str]:
    return unmet(demands(parse_config(CLUSTER | sections, "x"), live=1), nodes)


def test_no_message_if_every_process_fits_on_a_node():
    nodes = [{"CPU": 2.0, "learner": 1.0, "GPU": 1.0}, {"CPU": 4.0, "actors": 8.0}]
    assert not lines(nodes, actors={"resources": {"actors": 1}}, learner={"gpu": True, "resources": {"learner": 1}})
    assert not lines([{"CPU": 3.0}])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"actors": {"resources": {"arms": 2}}},
            "actors.resources.arms: each expert reserves 2 arms, but no node offers any",
        ),
        ({"replay": {"cpus": 9}}, "replay.cpus: each replay server reserves 9 CPU, but no node offers more than 8"),
        ({"learner": {"gpu": True}}, "learner.gpu: each learner worker reserves 1 GPU, but no node offers any"),
        (
            {"evaluation": {"threads": 3, "resources": {"few": 1}}},
            "evaluation.threads, evaluation.resources.few: each evaluator reserves 3 CPU and 1 few, "
            "but no node offers that together",
        ),
        (
            {"actors": {"copies": 20}},
            "learner.threads, actors.threads, evaluation.threads: 22 CPU are reserved (1 × 1 by learner workers, "
            "20 × 1 by experts, 1 × 1 by evaluators), but all nodes together offer 10",
        ),
    ],
)  # fmt: skip
def test_messages_name_the_key_of_what_no_node_offers(sections, message):
    assert lines([{"CPU": 8.0}, {"CPU": 2.0, "few": 1.0}], **sections) == [message]


@pytest.mark.parametrize(
    ("section", "resources", "message"),
    [
        ("learner", {"GPU": 1}, "GPU is no custom resource: learner.gpu=true"),
        ("replay", {"memory": 1}, "memory is no custom resource"),
        ("actors", {"x": float("inf")}, "finite"),
        ("evaluation", {"x": 0.00001}, "four decimals"),
    ],
)
def test_resources_that_ray_would_refuse_are_refused_by_key(section, resources, message):
    with pytest.raises(InputError, match=rf"{section}\.resources.*{message}"):
        parse_config(CLUSTER | {section: {"resources": resources}}, "x")
