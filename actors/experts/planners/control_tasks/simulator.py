"""Simulates many plans at once in the MuJoCo model of a DM Control task."""

import importlib
import os
from typing import Any

import numpy as np

from actors.experts.planners.control_tasks.spec import ControlTask, PhysicsState, Trajectory
from gato_dist.utils.missing_packages import wheel_advice


class Simulator:
    """Simulates plans in dm_control's model of a task.

    Args:
        task: the task.

    Raises:
        ImportError: if MuJoCo or dm_control is missing. The message says how to install them.
    """

    def __init__(self, task: ControlTask) -> None:
        try:
            import mujoco
            import mujoco.rollout

            # Nothing is drawn here, and the default renderer fails without a screen.
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
        """Simulates plans from one state.

        Args:
            state: the first state.
            controls: [K, H, A]; each control is held for a control step.

        Returns:
            The states after each control, [K, H, ...].
        """
        start = np.concatenate([[0.0], state.qpos, state.qvel])
        held = np.repeat(controls, self._steps, axis=1) if self._steps > 1 else controls
        if self._sensors:
            # A physics step computes the sensors of the state before it, so the last state needs one more step.
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
    """Returns the columns of `sensordata` that hold a sensor."""
    sensor = model.sensor(name)
    return slice(int(sensor.adr[0]), int(sensor.adr[0] + sensor.dim[0]))
