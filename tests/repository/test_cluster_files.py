"""The cluster files: Ray's own schema for `ray up`, documented fields for KubeRay, and rules for all of them."""

from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

FOLDER = ROOT / "configs" / "cluster"
RAY_UP = ("aws", "gcp", "onprem")
# Of ray.io/v1 RayJob as KubeRay 1.6 documents it: the fields that the file uses, by where they stand.
FIELDS = {
    "spec": {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"},
    "cluster": {"rayVersion", "authOptions", "enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"},
    "head": {"rayStartParams", "resources", "template"},
    "worker": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "resources", "template"},
}


def load(name: str) -> dict:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def kubernetes() -> dict[str, dict]:
    return {part["kind"]: part for part in yaml.safe_load_all((FOLDER / "rayjob.yaml").read_text())}


@pytest.mark.parametrize("name", RAY_UP)
def test_each_file_passes_the_validation_of_ray_up(name):
    from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config

    config = prepare_config(load(name))
    validate_config(config)
    assert fillout_defaults(load(name))["head_start_ray_commands"] == load(name)["head_start_ray_commands"]


@pytest.mark.parametrize("name", RAY_UP)
def test_the_token_reaches_every_node_before_ray_starts(name):
    config = load(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert all("RAY_AUTH_MODE=token" in command for command in commands if "ray start" in command)
    assert any("export RAY_AUTH_MODE=token" in command for command in config["initialization_commands"])
    assert "dashboard-host=127.0.0.1" in "".join(config["head_start_ray_commands"])


@pytest.mark.parametrize("name", RAY_UP)
def test_only_needed_parts_are_mounted_outside_of_pythons_path(name):
    mounts = load(name)["file_mounts"]
    code = {remote: local for remote, local in mounts.items() if local != "~/.ray/auth_token"}
    assert all(remote == f"~/gato-dist/{local}" and (ROOT / local).exists() for remote, local in code.items())
    assert {"Makefile", "pyproject.toml", "uv.lock", "gato_dist", "actors", "learner", "replay", "configs"} <= set(
        code.values()
    )
    assert not {".", ".venv", "runs"} & set(code.values())


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_machines_are_in_a_named_private_network(name):
    for machine in load(name)["available_node_types"].values():
        named = machine["node_config"]
        assert named.get("SecurityGroupIds") or named["networkInterfaces"][0]["subnetwork"]


def test_nodes_offer_a_resource_for_each_role():
    """All clusters offer the same three resources, so that a configuration fits each of them."""
    for name in ("aws", "gcp"):
        offered = {role: machine["resources"] for role, machine in load(name)["available_node_types"].items()}
        assert all(role in resources for role, resources in offered.items())
        assert set(offered) == {"learner", "actors", "replay"}
    starts = str(load("onprem"))
    assert all(f'"{role}":' in starts for role in ("learner", "actors", "replay"))


def test_the_ray_job_uses_fields_that_kuberay_documents():
    job = kubernetes()["RayJob"]
    cluster = job["spec"]["rayClusterSpec"]
    assert job["apiVersion"] == "ray.io/v1"
    assert set(job["spec"]) == FIELDS["spec"]
    assert set(cluster) == FIELDS["cluster"]
    assert set(cluster["headGroupSpec"]) == FIELDS["head"]
    assert all(set(group) == FIELDS["worker"] for group in cluster["workerGroupSpecs"])
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_ray_job_runs_the_installed_command():
    import ray

    from gato_dist.config.run_config import load_config

    job = kubernetes()["RayJob"]["spec"]
    assert job["rayClusterSpec"]["rayVersion"] == ray.__version__
    words = job["entrypoint"].split()
    assert words[:2] == ["gato-dist", "train"]
    config = load_config(ROOT / Path(words[2]).relative_to("/app"), words[5:])
    offered = {
        role
        for group in (job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"])
        for role in group["resources"]
    }
    assert {*config.learner.resources, *config.actors.resources, *config.replay.resources} == offered


def test_only_pods_of_the_cluster_can_reach_replay():
    parts = kubernetes()
    policy, cluster = parts["NetworkPolicy"]["spec"], parts["RayJob"]["spec"]["rayClusterSpec"]
    label = policy["podSelector"]["matchLabels"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert label.items() <= group["template"]["metadata"]["labels"].items()
    inside, outside = policy["ingress"]
    assert inside["from"] == [{"podSelector": {"matchLabels": label}}]
    assert [port["port"] for port in outside["ports"]] == [8265]
