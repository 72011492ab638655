#!/usr/bin/env bash
# Measures Roxy, nchan and the limit program one after the other with roxy bench, ROUNDS times, and prints medians and
# their ratios. A hub is fresh for each load. Needs Debian's nginx and libnginx-mod-nchan, python3, and root.
# BENCH is the folder with limit/raw/ (default ../shared/bench), SECONDS_EACH how long to publish.
set -euo pipefail
cd "$(dirname "$0")/.."
BENCH=${BENCH:-../shared/bench}
OUT=${OUT:-.cache/nchan}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-10}
[ -d "$BENCH/limit/raw" ] || { echo "bench: no limit program in $BENCH; set BENCH to its folder" >&2; exit 1; }
[ -f /usr/lib/nginx/modules/ngx_nchan_module.so ] || { echo "bench: no nchan: apt-get install nginx libnginx-mod-nchan" >&2; exit 1; }
rm -rf "$OUT"
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
go build -o "$OUT/roxy" ./cmd/roxy
(cd "$BENCH/limit/raw" && go build -o "$OUT/raw" .)
cp bench/roxy.yaml "$OUT/roxy.yaml"
(umask 077; head -c 48 /dev/urandom | base64 | tr -d '\n' > "$OUT/bench.secret")
"$OUT/roxy" token --config "$OUT/roxy.yaml" --sub bench --roles bench --expires 8h > "$OUT/token"
ulimit -n "$(ulimit -Hn)"
read -r HUB ADMIN < <(python3 -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(x.getsockname()[1] for x in s))')

pid=""
stop() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null || true; pid=""; }; }
trap stop EXIT

# await PORT waits until somebody listens.
await() { for _ in $(seq 100); do (: < "/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.1; done; echo "bench: nobody listens on $1" >&2; exit 1; }

# Each starts a hub, sets pids to its processes and target to what roxy bench needs to know of it.
roxy() {
  rm -rf "$OUT/data"
  "$OUT/roxy" serve --config "$OUT/roxy.yaml" --data "$OUT/data" --listen "127.0.0.1:$HUB" --admin-listen "127.0.0.1:$ADMIN" 2> "$OUT/roxy.log" &
  pid=$!
  await "$HUB"
  pids=$pid
  target=(--url "http://127.0.0.1:$HUB" --token-file "$OUT/token")
}
nchan() {
  sed "s|PREFIX|$OUT|; s|PORT|$HUB|" bench/nchan.conf > "$OUT/nchan.conf"
  nginx -p "$OUT" -c "$OUT/nchan.conf" -e "$OUT/error.log" &
  pid=$!
  await "$HUB"
  pids=$pid,$(pgrep -d, -P "$pid")
  target=(--subscribe-url "http://127.0.0.1:$HUB/sub/{topic}" --subscribe-header 'Accept: text/event-stream' --publish-url "http://127.0.0.1:$HUB/pub/{topic}" --topic bench)
}
limit() {
  "$OUT/raw" -listen "127.0.0.1:$HUB" -publish "127.0.0.1:$ADMIN" 2> "$OUT/raw.log" &
  pid=$!
  await "$HUB"
  pids=$pid
  target=(--subscribe-url "http://127.0.0.1:$HUB/" --publish-url "http://127.0.0.1:$ADMIN/")
}

load() { # load NAME FLAGS...: every hub in turn, so that a slow minute of the machine is nobody's alone
  local name=$1
  shift
  for round in $(seq "$ROUNDS"); do
    for hub in roxy nchan limit; do
      "$hub"
      sleep 1
      # What is lost or dropped is in the report as well.
      "$OUT/roxy" bench "${target[@]}" --pid "$pids" --duration "${SECONDS_EACH}s" --json "$@" > "$OUT/$name-$hub-$round.json" || echo "bench: $name, $hub, round $round: see above" >&2
      stop
    done
  done
}

load "10,000 x 5" -n 10000 -r 5
load "1,000 x 50" -n 1000 -r 50
load "10,000 idle" -n 10000 --idle

python3 - "$OUT" "$ROUNDS" <<'PY'
import json, statistics, sys
out, rounds = sys.argv[1], int(sys.argv[2])
hubs = ["roxy", "nchan", "limit"]
figures = [
    ("CPU for a delivery, µs", lambda r: r["run"]["serverCPU"]),
    ("latency p50, ms", lambda r: r["run"]["latency"]["p50"]),
    ("latency p99, ms", lambda r: r["run"]["latency"]["p99"]),
    ("deliveries/s", lambda r: r["run"]["deliveries"]),
    ("KB (PSS) for a stream with events", lambda r: r["server"]["loadedPerStream"]["pss"] / 1024),
]
idle = [
    ("KB (PSS) for an idle stream", lambda r: r["server"]["idlePerStream"]["pss"] / 1024),
    ("CPU to connect a stream, µs", lambda r: r["server"]["connectCPU"]),
]
print(f"\nMedians of {rounds} rounds.\n\n| streams x events/s | | Roxy | nchan | limit | Roxy/limit | nchan/limit | Roxy/nchan |\n|---|---|---|---|---|---|---|---|")
wrong = []
for load, rows in [("10,000 x 5", figures), ("1,000 x 50", figures), ("10,000 idle", idle)]:
    results = {h: [json.load(open(f"{out}/{load}-{h}-{i}.json")) for i in range(1, rounds + 1)] for h in hubs}
    for name, figure in rows:
        roxy, nchan, limit = (statistics.median(figure(r) for r in results[h]) for h in hubs)
        ratio = lambda a, b: f"{a / b:.2f}" if b > 0 else "–"
        show = lambda v: f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"
        print(f"| {load} | {name} | {show(roxy)} | {show(nchan)} | {show(limit)} | {ratio(roxy, limit)} | {ratio(nchan, limit)} | {ratio(roxy, nchan)} |")
    for h in hubs:
        for r in results[h]:
            run = r.get("run") or {}
            bad = {k: run.get(k, 0) for k in ["lost", "repeated", "outOfOrder", "failed"]} | {"dropped": r["dropped"]}
            if any(bad.values()):
                wrong.append(f"{load}, {h}: " + ", ".join(f"{n} {what}" for what, n in bad.items() if n))
print("\n" + ("\n".join(wrong) or "Nothing was lost, repeated, out of order, refused or dropped."))
PY
