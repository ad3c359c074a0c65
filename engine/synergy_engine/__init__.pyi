from .analysis.analysis import (
    Analysis as Analysis,
    analyze as analyze,
    analyze_batch as analyze_batch,
    warm_up as warm_up,
)
from .analysis.batch import Headline as Headline, headline as headline
from .analysis.bounds import Bound as Bound, bounds as bounds
from .analysis.convention import CONVENTIONS as CONVENTIONS, Convention as Convention
from .analysis.layers import layered as layered
from .analysis.means import overall as overall
from .analysis.pooling import pool as pool
from .analysis.why import why as why, why_batch as why_batch
from .errors import (
    AttentionFileError as AttentionFileError,
    Cancelled as Cancelled,
    EngineError as EngineError,
    GraphFileError as GraphFileError,
    InvalidSystemError as InvalidSystemError,
    NotDifferentiableError as NotDifferentiableError,
    OptionError as OptionError,
    TooLargeError as TooLargeError,
    UnreachableError as UnreachableError,
)
from .graphio import (
    AttentionFile as AttentionFile,
    read_attention as read_attention,
    read_graph as read_graph,
    write_graph as write_graph,
)
from .graphio.convert import (
    from_networkx as from_networkx,
    from_scipy as from_scipy,
    to_networkx as to_networkx,
    to_scipy as to_scipy,
)
from .kernels.threads import set_threads as set_threads
from .limits import watch as watch
from .measures.conditions import (
    Condition as Condition,
    WorstRate as WorstRate,
    speed_condition as speed_condition,
    synergy_condition as synergy_condition,
    worst_rate as worst_rate,
)
from .measures.contributions import (
    Contributions as Contributions,
    contributions as contributions,
)
from .measures.diversity import Diversity as Diversity, diversity as diversity
from .measures.fidelity import (
    Fidelity as Fidelity,
    fidelity as fidelity,
    head_fidelities as head_fidelities,
)
from .measures.layers import (
    LayeredFidelity as LayeredFidelity,
    LayeredSynergy as LayeredSynergy,
    layered_fidelity as layered_fidelity,
    layered_synergy as layered_synergy,
)
from .measures.mixing import (
    ArrivalTimes as ArrivalTimes,
    MixingTime as MixingTime,
    arrival as arrival,
    arrival_times as arrival_times,
    backward_hitting_times as backward_hitting_times,
    head_hitting_times as head_hitting_times,
    head_mixing_times as head_mixing_times,
    hitting_times as hitting_times,
    mixing_time as mixing_time,
)
from .measures.montecarlo import MonteCarlo as MonteCarlo, monte_carlo as monte_carlo
from .measures.paths import (
    Path as Path,
    PathShare as PathShare,
    cross_head_share as cross_head_share,
    novel_path_share as novel_path_share,
    strongest_paths as strongest_paths,
)
from .measures.routing import (
    RoutingBound as RoutingBound,
    RoutingTimes as RoutingTimes,
    routing_bound as routing_bound,
    routing_times as routing_times,
)
from .measures.sensitivity import (
    HittingSensitivity as HittingSensitivity,
    Sensitivity as Sensitivity,
    hitting_sensitivity as hitting_sensitivity,
    sensitivity as sensitivity,
)
from .measures.structure import Structure as Structure, structure as structure
from .measures.synergy import amplification as amplification, mixing_gain as mixing_gain
from .measures.walks import (
    clarity as clarity,
    diffusion as diffusion,
    spread as spread,
    walk as walk,
)
from .measures.weights import OptimalWeights as OptimalWeights, optimal_weights as optimal_weights
from .reordering import Reordering as Reordering, reorder as reorder
from .sparse import SparseHead as SparseHead
from .system import MultiHeadSystem as MultiHeadSystem
from .topologies.catalogue import FAMILIES as FAMILIES
from .topologies.topology import topology as topology
