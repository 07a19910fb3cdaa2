"""The base class of all sections, and the ranges of numbers that their keys share."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_INT32 = 2**31 - 1
MAX_PORT = 2**16 - 1
# Ray's own resources, and the keys that reserve them.
NOT_CUSTOM_RESOURCES = {
    "CPU": "`threads` or `cpus` reserves it",
    "GPU": "learner.gpu=true reserves one for each learner worker",
    "memory": "it cannot be reserved",
    "object_store_memory": "it cannot be reserved",
}

PositiveInt = Annotated[int, Field(gt=0, le=MAX_INT32)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INT32)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # a uint32, as the generators of numpy and of the suites take it
Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
SequenceLength = Annotated[int, Field(gt=0, lt=2**15)]  # positions inside a sequence are stored as int16
LayerSize = Annotated[int, Field(gt=0, le=2**16)]
Threads = Annotated[int, Field(gt=0, le=2**10)]
Processes = Annotated[int, Field(gt=0, le=2**16)]
OptionalProcesses = Annotated[int, Field(ge=0, le=2**16)]
Niceness = Annotated[int, Field(ge=0, le=19)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_resources(amounts: dict[str, float]) -> dict[str, float]:
    for name, amount in amounts.items():
        if name in NOT_CUSTOM_RESOURCES:
            raise ValueError(f"{name} is no custom resource: {NOT_CUSTOM_RESOURCES[name]}")
        if round(amount, 4) != amount:
            raise ValueError(f"{name}: Ray knows amounts of four decimals, got {amount:g}")
    return amounts


CustomResources = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]],
    AfterValidator(_check_resources),
    Field(
        description="custom Ray resources that each of these processes reserves, by name: they decide on which nodes "
        "of a cluster the processes may run"
    ),
]
