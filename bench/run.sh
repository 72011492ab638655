#!/usr/bin/env bash
# Measures a hub from outside with a neutral load generator, beside the limit program, in one run, and prints tables for
# docs/performance.md. Usage: bench/run.sh [publish|topics|fanout|idle|most|replay|storm|classes|tls|stuck ...]; default: all.
# BENCH is the folder with loadgen/ and limit/raw/ (default ../shared/bench).
set -euo pipefail
cd "$(dirname "$0")/.."
BENCH=${BENCH:-../shared/bench}
OUT=${OUT:-.cache/bench}
SECONDS_EACH=${SECONDS_EACH:-5}
[ -d "$BENCH/loadgen" ] || { echo "bench: no load generator in $BENCH; set BENCH to its folder" >&2; exit 1; }
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
go build -o "$OUT/roxy" ./cmd/roxy
go build -o "$OUT/replay" ./bench/replay
go build -o "$OUT/storm" ./bench/storm
go build -o "$OUT/classes" ./bench/classes
go build -o "$OUT/stuck" ./bench/stuck
(cd "$BENCH/loadgen" && go build -o "$OUT/loadgen" .)
(cd "$BENCH/limit/raw" && go build -o "$OUT/raw" .)
(cd "$BENCH/limit/nethttp" && go build -o "$OUT/nethttp" .)
ulimit -n "$(ulimit -Hn)"

pid=""
stop() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null || true; pid=""; }; }
trap stop EXIT

# start_hub FLAGS... begins with an empty log.
start_hub() {
  stop
  rm -rf "$OUT/data"
  cp bench/roxy.yaml "$OUT/roxy.yaml"
  [ -s "$OUT/bench.secret" ] || { head -c 48 /dev/urandom | base64 | tr -d '\n' > "$OUT/bench.secret"; chmod 600 "$OUT/bench.secret"; }
  "$OUT/roxy" serve --config "$OUT/roxy.yaml" --data "$OUT/data" "$@" 2> "$OUT/hub.log" &
  pid=$!
  for _ in $(seq 100); do curl -fsS http://127.0.0.1:9081/readyz > /dev/null 2>&1 && break; sleep 0.1; done
  TOKEN=$("$OUT/roxy" token --config "$OUT/roxy.yaml" --sub bench --roles bench --expires 8h)
}

load() { # load NAME FLAGS...: one run of the generator against the hub
  local name=$1
  shift
  "$OUT/loadgen" -name "$name" -pids "$pid" -header "Authorization: Bearer $TOKEN" -pub-header "Authorization: Bearer $TOKEN" \
    -pub-header "Content-Type: application/json" -pub-url http://127.0.0.1:9080/v1/events -pub-body '{"topic":"{topic}","data":{data}}' \
    -ready roxy:live -duration "${SECONDS_EACH}s" -out "$OUT/$name.json" "$@" > "$OUT/$name.txt"
}

row() { # row NAME: the steps of a report, one line each
  python3 - "$OUT/$1.json" "$1" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
for s in report.get("steps", []):
    l, r = s["latency"], s["publish_rtt"]
    g = lambda d, k: d.get(k, d.get(k + "_ms", 0))
    print(f'| {sys.argv[2]} | {s["rate"]:.0f}/s | {s["deliveries_per_s"]:.0f}/s | {s["server_cpu_us_per_delivery"]:.2f} | {s["server_cpu_us_per_publish"]:.1f} | {json.dumps(l)} | rtt {json.dumps(r)} | lost {s["lost"]} dup {s["duplicates"]} ooo {s["out_of_order"]} dropped {s["connections_dropped"]} | {s["rss_end_mb"]:.0f} MB |')
PY
}

publish() {
  echo "## durable publishes/s, closed loop, one subscriber"
  start_hub
  for n in 1 16 64 256; do
    load "publish-$n" -mode pub -rate 0 -conns 1 -pub-conns "$n" -url 'http://127.0.0.1:9080/v1/stream?topic=shared' -topic shared
    row "publish-$n"
  done
  echo "## the same into bare net/http: no log, no identity, no limits"
  stop
  "$OUT/nethttp" -listen 127.0.0.1:9084 &
  pid=$!
  sleep 0.3
  for n in 1 16 64 256; do
    "$OUT/loadgen" -name nethttp -pids "$pid" -url http://127.0.0.1:9084/sub -pub-url http://127.0.0.1:9084/pub -mode pub -rate 0 -conns 1 -pub-conns "$n" \
      -duration "${SECONDS_EACH}s" -out "$OUT/nethttp-$n.json" > "$OUT/nethttp-$n.txt"
    row "nethttp-$n"
  done
  stop
}

idle() {
  echo "## memory of idle streams"
  start_hub
  load idle -mode idle -conns 1000,10000 -url 'http://127.0.0.1:9080/v1/stream?topic=shared' -topic shared
  tail -n 2 "$OUT/idle.txt"
}

most() {
  echo "## most deliveries/s that hold, 10,000 streams"
  start_hub
  load most -mode max -conns 10000 -rate 60 -url 'http://127.0.0.1:9080/v1/stream?topic=shared' -topic shared
  tail -n 1 "$OUT/most.txt"
}

topics() {
  echo "## publish to one of N own topics"
  for n in 50 5000 50 5000; do
    start_hub
    load "own-$n" -mode run -conns "$n" -rate 1000 -pub-conns 4 -target own -url 'http://127.0.0.1:9080/v1/stream?topic=own/{i}&topic=shared' -own-topic 'own/{i}' -topic shared
    row "own-$n"
  done
}

fanout() {
  echo "## fan-out beside the limit program"
  for c in "1000 50" "10000 5"; do
    set -- $c
    for round in 1 2 3; do
      start_hub
      load "fanout-$1-$round" -mode run -conns "$1" -rate "$2" -url 'http://127.0.0.1:9080/v1/stream?topic=shared' -topic shared
      row "fanout-$1-$round"
      stop
      "$OUT/raw" -listen 127.0.0.1:9082 -publish 127.0.0.1:9083 &
      pid=$!
      sleep 0.3
      "$OUT/loadgen" -name limit -pids "$pid" -url http://127.0.0.1:9082/ -pub-url http://127.0.0.1:9083/ -conns "$1" -rate "$2" \
        -duration "${SECONDS_EACH}s" -out "$OUT/limit-$1-$round.json" > "$OUT/limit-$1-$round.txt"
      row "limit-$1-$round"
      stop
    done
  done
}

replay() {
  echo "## replay and restart"
  start_hub
  ROXY_TOKEN=$TOKEN "$OUT/replay" -url http://127.0.0.1:9080 -events "${EVENTS:-1000000}"
  kill -9 "$pid"; wait "$pid" 2>/dev/null || true
  began=$(date +%s%N)
  "$OUT/roxy" serve --config "$OUT/roxy.yaml" --data "$OUT/data" 2>> "$OUT/hub.log" &
  pid=$!
  until curl -fsS http://127.0.0.1:9081/readyz > /dev/null 2>&1; do sleep 0.01; done
  echo "restart after kill -9 until ready: $(( ($(date +%s%N) - began) / 1000000 )) ms"
}

storm() {
  echo "## 10,000 streams come back at once, each 1,000 events behind"
  for coding in identity gzip; do
    start_hub
    ROXY_TOKEN=$TOKEN "$OUT/storm" -hub 127.0.0.1:9080 -pid "$pid" -coding "$coding"
  done
  stop
}

tls() {
  echo "## TLS beside cleartext, HTTP/1.1"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$OUT/key.pem" -out "$OUT/certificate.pem" 2> /dev/null
  chmod 600 "$OUT/key.pem"
  for load in "--streams 10000 --idle" "--streams 3000 --rate 5" "--streams 1000 --rate 50"; do
    for scheme in http https; do
      echo "$load over $scheme"
      if [ $scheme = https ]; then start_hub --tls-certificate "$OUT/certificate.pem" --tls-key "$OUT/key.pem"; else start_hub; fi
      # shellcheck disable=SC2086 # several words
      SSL_CERT_FILE="$OUT/certificate.pem" ROXY_TOKEN=$TOKEN "$OUT/roxy" bench --url $scheme://127.0.0.1:9080 --pid "$pid" --duration "${SECONDS_EACH}s" $load
      stop
    done
  done
}

stuck() {
  echo "## 8,000 streams, 8 KB five times a second, without and with 100 that read nothing"
  for n in 0 100; do
    for round in 1 2 3; do
      start_hub
      if [ "$n" -gt 0 ]; then
        grep TCP: /proc/net/sockstat
        ROXY_TOKEN=$TOKEN "$OUT/stuck" -n "$n" -hold 25s &
        holds=$!
        sleep 1
      fi
      load "stuck-$n-$round" -mode run -conns $((8000 - n)) -rate 5 -size 8192 -url 'http://127.0.0.1:9080/v1/stream?topic=shared' -topic shared
      row "stuck-$n-$round"
      if [ "$n" -gt 0 ]; then
        wait "$holds"
        curl -fsS http://127.0.0.1:9081/metrics | grep -E 'roxy_streams_ended_total|roxy_streams_lagged'
      fi
      stop
    done
  done
}

classes() {
  echo "## one huge tenant, and many small ones"
  for c in "1 5" "2000 2000" "400 400"; do
    set -- $c
    for gzip in false true; do
      start_hub
      "$OUT/classes" -pid "$pid" -secret "$OUT/bench.secret" -tenants "$1" -rate "$2" -gzip="$gzip"
    done
  done
  stop
}

[ $# -gt 0 ] || set -- publish topics fanout idle most replay storm classes tls stuck
for part in "$@"; do "$part"; done
