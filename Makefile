# Every target is a short name for a command that works without make, too.
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X backburn/internal/cli.version=$(VERSION)

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the three binaries into ./bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: test
test: ## run the tests with the race detector
	go test -race ./...

.PHONY: check
check: ## everything that must hold before a change is taken in
	.ci/run

.PHONY: fuzz
fuzz: ## fuzz the configuration for a minute
	go test -run '^$$' -fuzz FuzzParse -fuzztime 60s -fuzzminimizetime 1x ./internal/config

.PHONY: config
config: ## write config.example.toml and docs/configuration.md from the structs
	go test -run TestGeneratedFiles ./internal/config -update

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
