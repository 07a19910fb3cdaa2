"""All DM Control tasks that the planner can solve, by envpool's id."""

from actors.experts.planners.control_tasks.arms import ARMS
from actors.experts.planners.control_tasks.cartpole import CARTPOLES
from actors.experts.planners.control_tasks.contact import CONTACT
from actors.experts.planners.control_tasks.locomotion import LOCOMOTION
from actors.experts.planners.control_tasks.spec import ControlTask

TASKS: dict[str, ControlTask] = ARMS | CARTPOLES | CONTACT | LOCOMOTION
