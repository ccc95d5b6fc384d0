# Every target is a short name for a command that works without make, too.
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -X $(shell go list -m)/internal/cli.version=$(VERSION)

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the three binaries into ./bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: module
module: ## give the module a path that can be fetched: make module MODULE=host/owner/backburn
	go run ./internal/modpath $(MODULE)

.PHONY: packages
packages: ## build archives and packages for every platform into ./dist
	go tool -modfile=.ci/tools/goreleaser/go.mod goreleaser release --snapshot --clean --skip=sign

.PHONY: test
test: ## run the tests
	go test ./...

.PHONY: check
check: ## everything that must hold before a change is taken in
	.ci/run

.PHONY: lint
lint: ## what .ci/run asks golangci-lint
	go tool -modfile=.ci/tools/golangci-lint/go.mod golangci-lint run ./...

.PHONY: fuzz
fuzz: ## fuzz every target with 200,000 inputs
	.ci/fuzz 200000

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in what is used (asks vuln.go.dev)
	go tool -modfile=.ci/tools/govulncheck/go.mod govulncheck ./...

.PHONY: config
config: ## write config.example.toml and docs/configuration.md from the structs
	go test -run TestGeneratedFiles ./internal/config -update

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
