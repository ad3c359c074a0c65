from .library import bundled as bundled, find_scenario as find_scenario
from .load import (
    apply_override as apply_override,
    load_scenario as load_scenario,
    parse_scenario as parse_scenario,
    set_key as set_key,
)
from .models import (
    AnyRun as AnyRun,
    DesignedRun as DesignedRun,
    FamilyRun as FamilyRun,
    LoadedRun as LoadedRun,
    Scenario as Scenario,
    TrainedRun as TrainedRun,
    WatchedRun as WatchedRun,
)
from .problems import Problem as Problem, ScenarioError as ScenarioError
