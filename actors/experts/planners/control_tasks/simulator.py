"""The suite's own models of the planner's tasks, stepped for many plans at once."""

import importlib
import os
from typing import Any

import numpy as np

from actors.experts.planners.control_tasks.spec import ControlTask, PhysicsState, Trajectory
from gato_dist.utils.missing_packages import wheel_advice


class Simulator:
    """Rolls plans out in the suite's own model of one task.

    Raises ImportError when MuJoCo or dm_control is missing, naming the extra that brings them.
    """

    def __init__(self, task: ControlTask) -> None:
        try:
            import mujoco
            import mujoco.rollout

            # Nothing is drawn here, and without a screen the default renderer complains.
            os.environ.setdefault("MUJOCO_GL", "disable")
            suite = importlib.import_module(f"dm_control.suite.{task.domain}")
        except ImportError as error:
            raise ImportError(f"the DM Control planner needs dm_control: {wheel_advice((3, 12))}") from error
        text, assets = suite.get_model_and_assets(*task.model_arguments)
        if task.adapt is None:
            self.model = mujoco.MjModel.from_xml_string(text, assets)
        else:
            spec = mujoco.MjSpec.from_string(text, include=assets)
            task.adapt(spec)
            self.model = spec.compile()
        self._steps = task.physics_steps
        self._sensors = {name: _columns(self.model, name) for name in task.sensors}
        self._data = mujoco.MjData(self.model)
        self._rollout = mujoco.rollout.rollout

    def rollout(self, state: PhysicsState, controls: np.ndarray) -> Trajectory:
        """The states after each control of the plans [K, H, A], each control held for a control step."""
        start = np.concatenate([[0.0], state.qpos, state.qvel])
        held = np.repeat(controls, self._steps, axis=1) if self._steps > 1 else controls
        if self._sensors:
            # A physics step leaves the sensors of the state it began from, so the last state needs one more.
            held = np.concatenate([held, held[:, -1:]], axis=1)
        states, sensed = self._rollout(self.model, self._data, start[None], held)
        after = slice(self._steps - 1, self._steps * controls.shape[1], self._steps)
        velocities = 1 + self.model.nq
        return Trajectory(
            states[:, after, 1:velocities],
            states[:, after, velocities : velocities + self.model.nv],
            {name: sensed[:, self._steps :: self._steps, columns] for name, columns in self._sensors.items()},
            controls,
            state.target,
        )


def _columns(model: Any, name: str) -> slice:
    """Where a sensor's values lie in sensordata."""
    sensor = model.sensor(name)
    return slice(int(sensor.adr[0]), int(sensor.adr[0] + sensor.dim[0]))
