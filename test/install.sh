#!/usr/bin/env bash
# Installs what the tests need beside Go: from Debian's packages, and the TypeScript compiler from npm's registry, as its
# lockfile pins it. Does nothing when all is there.
set -euo pipefail

die() {
	echo "test/install.sh: $*" >&2
	exit 1
}

packages=()
# need COMMAND PURPOSE PACKAGE… remembers the packages if there is no such command.
need() {
	command -v "$1" >/dev/null && return
	echo "missing: $1, for $2"
	packages+=("${@:3}")
}

command -v go >/dev/null || die "go is missing: install Go 1.26 from https://go.dev/dl/"
need gcc "the race detector" gcc libc6-dev
need curl "the end-to-end tests, which paste what README says" curl ca-certificates
need chromium "the end-to-end tests with a real EventSource" chromium
PATH=$PATH:/usr/sbin need nginx "the end-to-end tests through a reverse proxy" nginx
need node "the end-to-end tests with Node's fetch" nodejs
need npm "the tests of generated types" npm
if ((${#packages[@]} > 0)); then
	command -v apt-get >/dev/null || die "this is not Debian: install ${packages[*]} yourself"
	((EUID == 0)) || die "run as root, once: apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
	echo "installing: ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=300 update
	apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}"
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# installed FOLDER WHAT installs what the folder's lockfile pins.
installed() {
	# npm leaves a copy of the lockfile that it installed.
	[[ $root/$1/node_modules/.package-lock.json -nt $root/$1/package-lock.json ]] && return
	echo "installing: $2, into $1/node_modules"
	npm --prefix "$root/$1" ci --no-audit --no-fund
}
installed test/typescript "the TypeScript compiler"
installed sdk "what builds and tests the SDK"
installed examples/next "Next.js, for its example"
installed examples/bar/web "what builds and tests the bar's app"
