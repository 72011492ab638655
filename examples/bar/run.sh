#!/usr/bin/env bash
# Starts a hub for the bar, the bar's app on it, plays the evening to it and says how to watch. Ctrl-C stops all; the next
# start goes on where the evening was. What can be set:
#
#   BAR_SPEED=60            how many times faster than the evening was; 0 waits for nothing
#   BAR_LISTEN, BAR_ADMIN   the hub's addresses, 127.0.0.1:8080 and 127.0.0.1:8081
#   BAR_WEB                 the app's loopback address, 127.0.0.1:8090; empty for no app
#   BAR_STATE               the folder for the secret, the tokens and the hub's data: this one
#   BAR_BIN                 the folder for what is built: bin/
#   BAR_LIMIT=0             how many events at most; 0 plays all
#   BAR_ONCE=               when set, the hub stops with the evening
set -euo pipefail

bar=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$bar/../.." && pwd)
mkdir -p "${BAR_STATE:=$bar}" "${BAR_BIN:=$root/bin}"
state=$(cd "$BAR_STATE" && pwd)
bin=$(cd "$BAR_BIN" && pwd)
listen=${BAR_LISTEN:-127.0.0.1:8080}
admin=${BAR_ADMIN:-127.0.0.1:8081}
web=${BAR_WEB-127.0.0.1:8090}
hub= player= app=

stop() {
	trap - EXIT INT TERM
	for child in $player $app $hub; do
		kill -TERM "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	done
}
trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

die() {
	echo "run.sh: $*" >&2
	exit 1
}

# installed FOLDER installs what the folder's lockfile pins; npm leaves a copy of the lockfile that it installed.
installed() {
	[[ $1/node_modules/.package-lock.json -nt $1/package-lock.json ]] || npm --prefix "$1" ci --no-audit --no-fund --loglevel=error
}
# newer FOLDER FILE tells whether something below the folder is newer than the file.
newer() {
	[[ ! -e $2 || -n $(find "$1" -newer "$2" -type f -print -quit) ]]
}
# build_app makes the app of this checkout's SDK, where npm is there; what is up to date stays as it is.
build_app() {
	if ! command -v npm >/dev/null; then
		echo "npm is missing: the app is not built (https://nodejs.org/en/download)"
		return
	fi
	if newer "$root/sdk/src" "$root/sdk/dist/index.js"; then
		echo "==> the SDK: installing what builds it, building it (a minute the first time)"
		installed "$root/sdk"
		npm --prefix "$root/sdk" run build --silent >"$state/app.log" 2>&1 || die "the SDK cannot be built; the log is $state/app.log"
	fi
	if newer "$bar/web/src" "$bar/web/dist/worker.js" || [[ $root/sdk/dist/index.js -nt $bar/web/dist/worker.js ]]; then
		echo "==> the app: installing what builds it, building it"
		installed "$bar/web"
		npm --prefix "$bar/web" run build --silent >"$state/app.log" 2>&1 || die "the app cannot be built; the log is $state/app.log"
	fi
}

echo "==> the hub, the player and the app's server"
(cd "$root" && go build -o "$bin/" ./cmd/roxy && go build -o "$bin/bar-play" ./examples/bar/play && go build -o "$bin/bar-serve" ./examples/bar/serve)
if [[ -n $web ]]; then
	build_app
fi

if [[ ! -s $state/dev.secret ]]; then
	(umask 077 && head -c 32 /dev/urandom | base64 >"$state/dev.secret.new" && mv "$state/dev.secret.new" "$state/dev.secret")
fi
# A night that was played to its end is not played again: the hub would know every event of it.
if [[ ! -s $state/night ]]; then
	echo "night-$(date +%s)-" >"$state/night"
fi

# Another hub at this address would answer in place of ours.
if curl --silent --output /dev/null --max-time 2 "http://$admin/healthz"; then
	die "something already listens on $admin; set BAR_LISTEN and BAR_ADMIN to free addresses"
fi
if [[ $state != "$bar" ]]; then # the configuration's paths are relative to it
	cp "$bar/roxy.yaml" "$state/roxy.yaml"
	mkdir -p "$state/schemas"
	rm -f "$state"/schemas/*.json # those of a version before
	cp "$bar"/schemas/*.json "$state/schemas/"
fi
cd "$state"
# A page of the app calls the hub itself, from its own origin.
ROXY_LISTEN=$listen ROXY_ADMIN_LISTEN=$admin ROXY_CORS_ORIGINS=${web:+http://$web,http://localhost:${web##*:}} "$bin/roxy" serve --config "$state/roxy.yaml" >"$state/hub.log" 2>&1 &
hub=$!
for ((i = 0; ; i++)); do
	kill -0 "$hub" 2>/dev/null || {
		tail -n 5 "$state/hub.log" >&2
		die "the hub did not start; its log is $state/hub.log"
	}
	curl --silent --fail --output /dev/null --max-time 2 "http://$admin/readyz" && break
	((i < 300)) || die "the hub is not ready after 30 s; its log is $state/hub.log"
	sleep 0.1
done
echo "The hub listens on http://$listen, its operator's listener on http://$admin; its log is $state/hub.log."
if [[ -n $web ]]; then
	"$bin/bar-serve" --listen "$web" --hub "http://$listen" --admin "http://$admin" --secret "$state/dev.secret" --web "$bar/web/dist" &
	app=$!
fi

"$bin/bar-play" --hub "http://$listen" --roxy "$bin/roxy" --secret "$state/dev.secret" --evening "$bar/evening.ndjson" \
	--night "$(<"$state/night")" --speed "${BAR_SPEED:-60}" --limit "${BAR_LIMIT:-0}" &
player=$!
wait "$player"
player=
rm -f "$state/night"
if [[ -z ${BAR_ONCE:-} ]]; then
	echo "The hub goes on; watch from the beginning, or press Ctrl-C."
	wait "$hub"
fi
