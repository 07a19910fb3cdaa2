"""Starts the actors of a run: experts, Gato actors and evaluators."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray import ObjectRef

from actors.coordination.link import CoordinatorLink, ReplayAddress
from actors.ray_actors import EvaluatorActor, ExpertActor, GatoActor
from gato_dist.config.run_config import RunConfig
from gato_dist.records.quarantine import Part
from gato_dist.sources import Source
from gato_dist.supervisor.planning import gato_actors, gato_sources
from gato_dist.supervisor.supervised_actor import SupervisedActor
from gato_dist.supervisor.waiting import start_actor
from gato_dist.tokens.tokenizer import Tokenizer
from replay.reverb.sharding import shard_of
from replay.reverb.tables import table_name
from replay.reverb.writer import SequenceWriter


@dataclass(frozen=True, kw_only=True)
class ActorFactory:
    """What all actors of a run share.

    Attributes:
        config: of the run.
        link: to the coordinator.
        tokenizer: in Ray's object store, so that it travels once to every node.
        addresses: of the replay servers.
    """

    config: RunConfig
    link: CoordinatorLink
    tokenizer: "ObjectRef[Tokenizer]"
    addresses: list[ReplayAddress]

    def experts(self, index: int) -> list[SupervisedActor]:
        """Starts all experts of one task. index: of the task in the configuration."""
        task, copies = self.config.tasks[index], self.config.actors.copies
        started = []
        for copy in range(copies):
            write = partial(SequenceWriter, self._address(index, copy), keep=self.config.replay.kept_sequences)
            started.append(
                SupervisedActor(
                    name=f"expert {copy + 1} of {task.name}" if copies > 1 else f"expert of {task.name}",
                    source=f"expert/{task.name}/{copy}",
                    part=Part.EXPERTS,
                    task=task.name,
                    make=partial(start_actor, ExpertActor, **self._reserved),
                    arguments=self._shared | {"task": task, "copy": copy, "open_writer": write},
                )
            )
        return started

    def gato_actors(self, index: int) -> list[SupervisedActor]:
        """Starts all Gato actors of one task. index: of the task in the configuration."""
        task = self.config.tasks[index]
        count, sources = gato_actors(self.config.relabel, task), gato_sources(self.config.relabel, task)
        # Their tables are on the server that the task's first expert writes to.
        write = partial(open_writer, self._address(index, 0), self.config.replay.kept_sequences, task.name)
        arguments = self._shared | {"task": task, "sources": sources, "open_writer": write}
        return [
            SupervisedActor(
                name=f"Gato actor {copy + 1} of {task.name}" if count > 1 else f"Gato actor of {task.name}",
                source=f"gato/{task.name}/",
                part=Part.GATO,
                task=task.name,
                make=partial(start_actor, GatoActor, **self._reserved),
                arguments=arguments,
            )
            for copy in range(count)
        ]

    def evaluator(self, number: int) -> SupervisedActor:
        """Starts one evaluator. number: of the evaluators started before."""
        name, evaluation = f"evaluator {number}", self.config.evaluation
        return SupervisedActor(
            name=name,
            source=name,
            part=Part.EVALUATION,
            task=None,
            make=partial(start_actor, EvaluatorActor, num_cpus=evaluation.threads, resources=evaluation.resources),
            arguments=self._shared,
        )

    def _address(self, index: int, copy: int) -> ReplayAddress:
        """Returns the address of the replay server that an expert writes to."""
        return self.addresses[shard_of(index, copy, self.config.actors.copies, len(self.addresses))]

    @property
    def _shared(self) -> dict[str, Any]:
        """Arguments that the `run` method of every actor takes."""
        return {"config": self.config, "tokenizer": self.tokenizer, "link": self.link}

    @property
    def _reserved(self) -> dict[str, Any]:
        return {"num_cpus": self.config.actors.threads, "resources": self.config.actors.resources}


def open_writer(
    address: ReplayAddress, keep: int, task: str, source: Source, should_stop: Callable[[], bool]
) -> SequenceWriter:
    """Opens a writer to the replay table of a task and source.

    Args:
        address: of the replay server.
        keep: how many sequences the writer keeps at most until a replay checkpoint has them.
        task: the task's name.
        source: who acted in the sequences.
        should_stop: asked while the writer waits for room.
    """
    return SequenceWriter(address, table_name(task, source), should_stop, keep=keep)
