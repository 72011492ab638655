# What a developer does here, one line each: make help

FUZZTIME ?= 1m
COUNT ?= 10
BENCH ?= .
ROUNDS ?= 200
LASTING ?= 30m

TOOL := go tool -modfile=tools/go.mod
# Tests of single packages. Those below test/ drive the built program and take longer; they run after these.
PACKAGES = $$(go list ./... | grep -v /test/)

.DEFAULT_GOAL := help
.PHONY: help run build test bar e2e check format golden bench fuzz crash churn vuln

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start a hub and play an evening at the bar to it; says how to watch
	@examples/bar/run.sh

build: ## build the program into bin/
	go build -trimpath -o bin/ ./cmd/...

test: ## all tests: vet, race detector, the SDK, the bar's app, then end to end with curl and Chromium (installs what is missing)
	@echo "==> 1/6 what the tests need"
	@test/install.sh
	@echo "==> 2/6 go vet"
	@go vet ./...
	@echo "==> 3/6 packages, with the race detector (the first build takes some minutes)"
	@go test -race -shuffle=on -timeout=10m $(PACKAGES)
	@echo "==> 4/6 the SDK: types, build, tests against the built hub, sizes, packaging"
	@npm --prefix sdk test
	@$(MAKE) --no-print-directory -j2 bar e2e # beside each other: either mostly waits

bar:
	@echo "==> 5/6 the bar's app: types, build, the evening on its screens, accessibility"
	@npm --prefix examples/bar/web test

e2e:
	@echo "==> 6/6 end to end"
	@go test -count=1 -v -timeout=10m ./test/...

check: ## formatting, linters of Go and TypeScript, go.mod and who may import whom
	@echo "==> 1/5 formatting (make format corrects it)"
	@$(TOOL) golangci-lint fmt --diff
	@echo "==> 2/5 linters"
	@$(TOOL) golangci-lint run
	@echo "==> 3/5 linters of TypeScript"
	@npm --prefix sdk run --silent lint
	@echo "==> 4/5 go.mod"
	@go mod tidy -diff
	@echo "==> 5/5 who imports whom"
	@go test -count=1 ./internal/archtest

format: ## format all Go code
	@$(TOOL) golangci-lint fmt

golden: ## write anew what tests compare with; read the diff before committing it
	npm --prefix sdk run --silent single >httpapi/sdk.js
	ROXY_UPDATE_GOLDEN=1 go test -count=1 $(PACKAGES)

bench: ## benchmarks, COUNT=10 times each; BENCH=REGEXP selects
	go test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) -p=1 -timeout=0 $(PACKAGES)

fuzz: ## every fuzz target for FUZZTIME=1m
	@tools/fuzz.sh $(FUZZTIME)

crash: ## kill -9 under load, ROUNDS=200 times, and power cuts on a file system that drops what was not synced
	go test -count=1 -v -run=Crash ./engine/disk
	ROXY_CRASH_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout=2h -run=KillNine ./test/e2e

churn: ## clients come and go in every way for LASTING=30m, with the race detector and without
	ROXY_CHURN=$(LASTING) go test -count=1 -v -timeout=0 -run=Churn ./test/e2e

vuln: ## known vulnerabilities in what Roxy is made of; needs the network (https://vuln.go.dev)
	$(TOOL) govulncheck ./...
