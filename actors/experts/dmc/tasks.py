"""Every DM Control task that the planner knows, by envpool's id."""

from actors.experts.dmc.arms import ARMS
from actors.experts.dmc.cartpole import CARTPOLES
from actors.experts.dmc.contact import CONTACT
from actors.experts.dmc.locomotion import LOCOMOTION
from actors.experts.dmc.spec import ControlTask

TASKS: dict[str, ControlTask] = ARMS | CARTPOLES | CONTACT | LOCOMOTION
