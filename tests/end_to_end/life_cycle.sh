# The whole life of an experiment: written, checked, run, watched by programs, stopped, resumed,
# compared, exported, measured again, removed. Runs in an empty folder; ends at the first surprise.
set -eu
synergy() { "$PYTHON" -P -m synergy_tui "$@"; }
expect() { # expect CODE COMMAND…: the command exits with this code
    wanted=$1; shift
    code=0; "$@" || code=$?
    [ "$code" -eq "$wanted" ] || { echo "expected exit code $wanted, got $code: $*" >&2; exit 1; }
}
SYNERGY_HOME=$PWD/experiments; export SYNERGY_HOME

# Written and checked.
synergy init life.toml --task copy --heads 1,2 --length 8 --steps 60
expect 2 synergy init life.toml --yes
synergy validate life.toml
sed 's/heads = 2/heads = 3/' life.toml > broken.toml
expect 2 synergy validate broken.toml life.toml

# Run: exit codes, an event stream, a report for CI.
synergy run --no-ui --json life.toml > events.jsonl
synergy run --no-ui --quiet --junit report.xml --seed 8 --set train.batch=16 life.toml
grep -q '<testsuites' report.xml
{ cat life.toml; printf '\n[[expect]]\nthat = "multi-head.loss < 0"\n'; } > impossible.toml
expect 1 synergy run --no-ui --quiet --junit failed.xml impossible.toml
grep -q '<failure' failed.xml
expect 3 synergy run --no-ui --quiet --timeout 8 --set train.steps=1000000 life.toml

# Found, stopped by the clock, resumed.
[ "$(synergy ls --json | wc -l)" -eq 4 ]
synergy show last > /dev/null
synergy resume --no-ui --quiet --timeout 6 last || [ $? -eq 3 ]
synergy compare last "$(ls experiments | head -n 1)" --json > compared.jsonl
[ "$(wc -l < compared.jsonl)" -eq 4 ]

# Exported, and measured again.
first=$(ls experiments | head -n 1)
synergy export "$first" --metrics metrics.csv --run multi-head --attention attention.safetensors \
    --graph heads.graphml
[ -s metrics.csv ]
synergy analyze attention.safetensors --json > analysis.jsonl
checkpoint=$(ls experiments/"$first"/checkpoints/multi-head-*.safetensors | tail -n 1)
synergy analyze "$checkpoint" --inputs 4 > /dev/null

# Removed, but not without being asked to.
expect 2 synergy rm "$first" < /dev/null
synergy ls --json | sed 's/.*"path":"\([^"]*\)".*/\1/' | while read -r path; do
    synergy rm --yes "$path"
done
[ -z "$(synergy ls --json)" ]
echo "the whole life of an experiment: done"
