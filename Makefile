# Everything here works on a machine that has Go and make (and apt, or a
# PostgreSQL); what else is needed is built or fetched into the user's cache.

SHELL       := /bin/sh
.DEFAULT_GOAL := help

# A checkout without git history builds too.
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs=%,$(GOFLAGS))

# Tools are pinned here and kept out of go.mod: their dependencies are no
# concern of the product.
GOLANGCI_LINT := v2.15.0
WORKFLOWCHECK := v0.6.0
OAPI_CODEGEN  := v2.8.2
CYCLONEDX     := v1.10.0
GOVULNCHECK   := v1.9.0
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast
TOOLS := $(CACHE)/tools/$(shell go env GOVERSION)
LINT  := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT)
CHECK := $(TOOLS)/workflowcheck-$(WORKFLOWCHECK)
SBOM := $(TOOLS)/cyclonedx-gomod-$(CYCLONEDX)
CODEGEN := $(TOOLS)/oapi-codegen-$(OAPI_CODEGEN)

ARGS ?=

.PHONY: help
help: ## list what can be made
	@echo 'make TARGET [ARGS="…"]'
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: postgres build ## order 10,000 leads on a stack of its own, from start to refund (ARGS="--leads 1000 --json")
	@exec bin/holdfast demo $(ARGS)

.PHONY: dev
dev: postgres build ## keep the stack running: API, dashboard, Temporal UI, mail lab (ARGS="--fresh")
	@exec bin/holdfast dev $(ARGS)

# What --version tells; nothing where there is no git.
STAMP = -X holdfast/internal/build.Commit=$(shell git describe --always --exclude '*' --abbrev=12 --dirty=-modified 2>/dev/null) \
	-X holdfast/internal/build.Date=$(shell git log -1 --format=%cI 2>/dev/null)

.PHONY: build
build: ## bin/holdfast and bin/holdfast-worker
	@go build -ldflags "$(STAMP)" -o bin/holdfast ./starter
	@go build -ldflags "$(STAMP)" -o bin/holdfast-worker ./worker

.PHONY: test
test: postgres devserver promtool clients browser lint ## all checks and all tests, on real servers
	go test -timeout 20m $(filter-out $(shell go list $(RACED)),$(shell go list ./...))
	go test -race -timeout 20m $(RACED)
	go test -C bench ./...
	go test -C deploy ./...
	go test -C deploy/helm ./...
	go test -C browser ./...
	@$(MAKE) --no-print-directory fuzz

CHANGED = $(shell git diff --name-only $$(git merge-base HEAD main 2>/dev/null || echo HEAD) -- '*.go' 2>/dev/null | grep -vE '^(bench|browser|deploy|devserver)/' | xargs -r -n1 dirname | sort -u | while read -r d; do if ls $$d/*.go >/dev/null 2>&1; then echo "./$$d"; fi; done)

# Packages whose tests start a whole stack and take minutes.
STACKS = ./internal/api ./internal/dashboard ./internal/devstack ./internal/intake ./starter ./worker ./workflows

.PHONY: quick
quick: postgres $(LINT) ## lint what differs from main and test it, but for packages that start whole stacks
	@if [ -z "$(CHANGED)" ]; then echo "nothing differs from main"; exit; fi; \
	$(LINT) run $(CHANGED) || exit 1; \
	for p in $(filter $(STACKS),$(CHANGED)); do echo "$$p starts a whole stack: go test $$p, or make test"; done; \
	if [ -n "$(filter-out $(STACKS),$(CHANGED))" ]; then go test $(filter-out $(STACKS),$(CHANGED)); fi

# Packages whose tests the race detector hardly slows down: make test runs them
# under it and no other way.
RACED = ./internal/account ./internal/billing ./internal/client ./internal/codec ./internal/commit ./internal/errcode \
	./internal/order ./internal/outbox ./internal/plan ./internal/suppression ./internal/telemetry ./internal/verify/provider ./internal/webhook

# Packages whose tests start a Temporal server.
TEMPORAL = $(STACKS) ./internal/reconcile ./internal/wire

.PHONY: race
race: postgres ## all packages that need no Temporal server, under the race detector
	go test -race -timeout 30m $(filter-out $(TEMPORAL:./%=holdfast/%),$(shell go list ./...))

# A number of inputs, not a time: when a time is over, Go 1.26 now and then
# reports its own deadline as a failure (golang/go issue 75804).
FUZZTIME ?= 1000x

.PHONY: fuzz
fuzz: ## what the wire and files bring, at random, each target with FUZZTIME inputs (1000x) or for a time (1m)
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' internal | sed 's/func //' | while IFS=: read -r file target; do \
		echo "fuzzing $$target for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" || exit 1; \
	done

SOAK ?= 5m

.PHONY: soak
soak: postgres ## the property tests of credits and periods, again and again with new seeds, for SOAK (5m)
	@end=$$(( $$(date +%s) + $$(echo $(SOAK) | sed 's/h$$/*3600/; s/m$$/*60/; s/s$$//') )); \
	while [ "$$(date +%s)" -lt "$$end" ]; do \
		go test -count=1 -run 'AgainstModel|Switching|PeriodsCover|TopUps' \
			./internal/ledger ./internal/billing ./internal/account ./internal/plan || exit 1; \
	done

SEED ?= 0
FOR ?= 10m

.PHONY: simulate
simulate: ## ledger, plans, orders and reconciler in simulated worlds with faults, each half for FOR (10m), or the one world of SEED
	go test -count=1 -timeout 0 -run 'TestSimulate(Orders)?$$' -v ./internal/ledger -simulate.seed $(SEED) -simulate.for $(FOR)

.PHONY: mutate
mutate: postgres devserver ## make faults in the product one at a time and run the tests that should notice (ARGS="-only plan")
	@cd bench && go run ./mutate $(ARGS)

.PHONY: chaos
chaos: postgres devserver ## kill, freeze and cut off the product under load, then prove that the books are exact (ARGS="-for 10m -seed 17")
	@cd bench && go run ./chaos $(ARGS)

.PHONY: soak-load
soak-load: postgres devserver ## the load of chaos without faults for FOR (10m): memory, goroutines, files, connections, size, plotted
	@cd bench && go run ./chaos -soak results/soak.json -for $(FOR) $(ARGS)

.PHONY: helm
helm: ## render the Helm chart for its defaults and examples and decode it with Kubernetes' types
	go test -C deploy/helm ./...

.PHONY: lint
lint: $(LINT) $(CHECK) ## golangci-lint (go vet is part of it), workflowcheck
	cd devserver && CGO_ENABLED=0 go vet ./...
	$(LINT) fmt --diff
	$(LINT) run ./...
	cd bench && $(LINT) run ./...
	cd deploy && $(LINT) run ./...
	$(CHECK) -config .workflowcheck.yaml ./workflows/...

.PHONY: fmt
fmt: $(LINT) ## format the code as the linter wants it
	$(LINT) fmt

.PHONY: bench
bench: postgres devserver ## all benchmarks: tables here, JSON and plots in bench/results
	@cd bench && for dir in */; do \
		case "$$dir" in mutate/|chaos/) continue;; esac; \
		if [ -f "$$dir/main.go" ]; then echo "== bench/$$dir"; go run "./$$dir" $(ARGS) || exit 1; fi; \
	done

.PHONY: tidy
tidy: ## bring go.mod of all modules up to date, those of bench, deploy and browser after the product's
	go mod tidy
	cd bench && go mod tidy
	cd deploy && go mod tidy
	cd browser && go mod tidy

.PHONY: postgres
postgres: # PostgreSQL's server programs, unless they or a server are there
	@scripts/postgres

.PHONY: browser-test
browser-test: postgres devserver browser ## the dashboard in Chromium, against the real stack
	go test -C browser ./...

.PHONY: browser
browser: # Chromium and axe-core for the tests in a browser, where they can be had
	@scripts/chromium
	@scripts/axe

.PHONY: devserver
devserver: # the Temporal dev server, built once per machine
	@go run ./internal/devstack/prepare

.PHONY: promtool
promtool: # checks and tests the alert rules, unless it cannot be had
	@scripts/promtool

.PHONY: openapi
openapi: postgres devserver clients ## lint the description of the API with Redocly and Spectral, and generate clients in Go and TypeScript and run them
	go test -count=1 -run 'TheDescription|GeneratedClients' ./internal/api

.PHONY: clients
clients: # what reads the description in tests, where it can be had
	@scripts/openapi
	@$(MAKE) --no-print-directory $(CODEGEN) || echo "oapi-codegen cannot be built: no Go client is generated" >&2

.PHONY: security
security: ## licences of what we build from, and known vulnerabilities (these need vuln.go.dev)
	go test -C deploy ./licences
	go run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK) ./...

.PHONY: sbom
sbom: $(SBOM) ## a bill of materials in bin/sbom.json (CycloneDX), and the list of licences that a test checks
	@mkdir -p bin
	$(SBOM) mod -licenses -json -output bin/sbom.json .
	go test -C deploy ./licences -sbom $(CURDIR)/bin/sbom.json

.PHONY: clean
clean: ## remove bin/ (data of `make dev` and the user's cache stay)
	rm -rf bin

$(LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT): once per machine, some minutes"
	@rm -rf $(TOOLS)/new-$(@F) && mkdir -p $(TOOLS)/new-$(@F)
	@cd / && GOBIN=$(TOOLS)/new-$(@F) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv $(TOOLS)/new-$(@F)/golangci-lint $@

$(CHECK):
	@echo "building workflowcheck $(WORKFLOWCHECK)"
	@rm -rf $(TOOLS)/new-$(@F) && mkdir -p $(TOOLS)/new-$(@F)
	@cd / && GOBIN=$(TOOLS)/new-$(@F) go install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK)
	@mv $(TOOLS)/new-$(@F)/workflowcheck $@

$(SBOM):
	@echo "building cyclonedx-gomod $(CYCLONEDX)"
	@rm -rf $(TOOLS)/new-$(@F) && mkdir -p $(TOOLS)/new-$(@F)
	@cd / && GOBIN=$(TOOLS)/new-$(@F) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX)
	@mv $(TOOLS)/new-$(@F)/cyclonedx-gomod $@

$(CODEGEN):
	@echo "building oapi-codegen $(OAPI_CODEGEN)"
	@rm -rf $(TOOLS)/new-$(@F) && mkdir -p $(TOOLS)/new-$(@F)
	@cd / && GOBIN=$(TOOLS)/new-$(@F) go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$(OAPI_CODEGEN)
	@mv $(TOOLS)/new-$(@F)/oapi-codegen $@
