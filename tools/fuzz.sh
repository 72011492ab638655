#!/usr/bin/env bash
# Fuzzes every target of every package, one after another: tools/fuzz.sh DURATION. What breaks one is kept below that
# package's testdata/fuzz and is a seed of the ordinary test from then on: commit it with the fix.
set -euo pipefail
duration=${1:?how long for each target, such as 1m}

# The names of a package's targets come before the line "ok PACKAGE".
targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
total=$(wc -l <<<"$targets")
i=0
broken=()
while read -r package name; do
	echo "[$((++i))/$total] $name in $package, for $duration"
	go test -run='^$' -fuzz="^$name\$" -fuzztime="$duration" "$package" </dev/null || broken+=("$package $name")
done <<<"$targets"
((${#broken[@]} == 0)) || {
	printf 'broken: %s\n' "${broken[@]}" >&2
	exit 1
}
