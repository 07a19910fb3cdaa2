"""An expert together with its environments, and the provenance of the episodes that it records."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version

from gato_dist.episode import Provenance
from gato_dist.ports import Policy, VectorEnv
from gato_dist.utils.typed_json import to_json

VERSIONED_PACKAGES = ("envpool", "gymnasium", "numpy")


@dataclass
class Demonstrator:
    """A policy and the environments that it was made for.

    Attributes:
        env: the environments.
        policy: acts in all of them at once.
    """

    env: VectorEnv
    policy: Policy

    def provenance(self, weights_version: int = -1) -> Provenance:
        """Returns the provenance that all of its episodes share; see `policy_provenance`."""
        return policy_provenance(self.env.spec.name, self.policy, weights_version)


def policy_provenance(task: str, policy: Policy, weights_version: int = -1) -> Provenance:
    """Returns the provenance of a policy's episodes: its name, the hash of its description, and package versions.

    The recorder fills in seeds and times.

    Args:
        task: name of the task.
        policy: the policy.
        weights_version: of Gato's weights; −1 for experts.
    """
    description = policy.describe()
    return Provenance(
        task=task,
        seed=0,
        policy=description["name"],
        policy_hash=hashlib.sha256(to_json(description, sort_keys=True).encode()).hexdigest()[:16],
        weights_version=weights_version,
        versions={name: version(name) for name in VERSIONED_PACKAGES},
    )
