from .checks import Match as Match, check as check, match_parameters as match_parameters
from .device import Parallel as Parallel
from .errors import TrainerError as TrainerError
from .events import (
    Checkpoint as Checkpoint,
    Event as Event,
    Probe as Probe,
    RunFailed as RunFailed,
    RunFinished as RunFinished,
    RunStarted as RunStarted,
    RunStopped as RunStopped,
    TrainStep as TrainStep,
    Warned as Warned,
)
from .loop import train as train, warm_up as warm_up
from .published import LoadedModel as LoadedModel, load_published as load_published
from .settings import (
    DEVICES as DEVICES,
    ModelShape as ModelShape,
    RunSettings as RunSettings,
    TrainSettings as TrainSettings,
    count_parameters as count_parameters,
)
from .tasks import TASKS as TASKS, Task as Task
