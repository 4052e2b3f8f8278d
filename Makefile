# `make run` and `make test` are all that most people need; `make` alone lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps of `make test` share one cargo target folder and are meant to be read in order.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Rustup puts cargo here; a non-login shell may not have it on its path.
export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO ?= cargo
DOCKER ?= docker
IMAGE ?= bucketport:dev
ARGS ?=
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
UNFTP_VERSION := 0.16.0
# MinIO's releases are not numbered as Go's modules are, so this is the commit.
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
FAKE_GCS_VERSION := v1.56.1
AZURITE_VERSION := 3.37.0
COMMONS_NET_VERSION := 3.11.1
BASIC_FTP_VERSION := 6.2.6
# The last that runs on Node.js 20.
PUPPETEER_VERSION := 24.43.1
HELM_3_VERSION := v3.22.0
HELM_4_VERSION := v4.3.1
HELM_DOCS_VERSION := v1.14.2
# That of Prometheus 3.16, as Go's modules number it.
PROMTOOL_VERSION := v0.316.0
# Later versions of the operator's module are not published; the fields that the chart uses are old.
PROMETHEUS_OPERATOR_VERSION := v0.85.0
CERT_MANAGER_VERSION := v1.21.2

##@ Run

.PHONY: run
run: build-tools ## Start the gateway; `make run ARGS="--config FILE"` gives it a configuration
	@exec $(CARGO) run --release --locked -- $(ARGS)

# The commit decides what the image says of itself, so that whoever builds it makes the same.
IMAGE_EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
IMAGE_ARGS = --build-arg SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) \
  --build-arg CREATED=$(shell date --utc --date=@$(IMAGE_EPOCH) +%Y-%m-%dT%H:%M:%SZ) \
  --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) \
  --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: image
image: ## Build the container image IMAGE (bucketport:dev); ARGS go to `docker build`
	$(DOCKER) build $(IMAGE_ARGS) --tag $(IMAGE) $(ARGS) .

##@ Test

.PHONY: test
test: tools clients fmt clippy cargo-test doc deny ## Install what the tests need, then run every check below, in this order

.PHONY: fmt
fmt: ## Formatting (`cargo fmt` repairs it)
	$(CARGO) fmt --check

.PHONY: clippy
clippy: ## Lints, warnings denied
	$(CARGO) clippy --all-targets --locked -- -D warnings

# More tests at once than processors: most of their time they wait for a deadline or a retry.
export RUST_TEST_THREADS ?= 6

# The documentation's examples first, so that the last lines are those of the tests against the real binary.
.PHONY: cargo-test
cargo-test: ## All tests
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --lib --bins --tests

.PHONY: unit
unit: ## Unit tests alone
	$(CARGO) test --locked --lib --bins

.PHONY: it
it: ## Tests against the real binary alone; `make it ARGS=NAME` runs those whose name has NAME in it
	$(CARGO) test --locked --test it -- $(ARGS)

.PHONY: doc
doc: ## Documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items

# Duplicate versions are allowed here because they are other crates' business; `cargo deny check bans` lists them.
# The advisory database is a git repository. Where it cannot be fetched the check cannot be made, and that is said; once
# it has been fetched, whatever the check finds fails the target.
.PHONY: deny
deny: cargo-deny ## Licences, banned crates, sources, and known vulnerabilities where their database can be reached
	@$(CARGO) deny --locked check --allow duplicate bans licenses sources
	@if GIT_TERMINAL_PROMPT=0 timeout 120 $(CARGO) deny fetch db; then \
	  $(CARGO) deny --locked check advisories; \
	else \
	  echo >&2; \
	  echo 'WARNING: advisories NOT CHECKED: the advisory database could not be fetched (see above).' >&2; \
	  echo '         Run `make deny` again where it can be.' >&2; \
	fi

CLIENTS := $(CURDIR)/target/clients

# Each takes a second or two. A test whose client could not be had says so and passes.
.PHONY: clients
clients: build-tools ## Install the clients that the tests use beside curl and lftp, those in Java, JavaScript and Go where these are installed
	@$(call apt_unless,type tnftp ncftpput curl >/dev/null 2>&1,tnftp ncftp curl)
	@mkdir -p $(CLIENTS)
	@$(call client_in,java,commons-net-$(COMMONS_NET_VERSION).jar,curl -sSfo $(CLIENTS)/commons-net-$(COMMONS_NET_VERSION).jar \
	  https://repo1.maven.org/maven2/commons-net/commons-net/$(COMMONS_NET_VERSION)/commons-net-$(COMMONS_NET_VERSION).jar)
	@$(call client_in,npm,basic-ftp-$(BASIC_FTP_VERSION),npm install --silent --no-audit --no-fund \
	  --prefix $(CLIENTS)/basic-ftp-$(BASIC_FTP_VERSION) basic-ftp@$(BASIC_FTP_VERSION))
	@$(call apt_unless,test -e /usr/bin/chromium || ! grep -q "^ID=debian" /etc/os-release,chromium fonts-dejavu-core)
	@$(call client_in,npm,puppeteer-core-$(PUPPETEER_VERSION),npm install --silent --no-audit --no-fund \
	  --prefix $(CLIENTS)/puppeteer-core-$(PUPPETEER_VERSION) puppeteer-core@$(PUPPETEER_VERSION))
	@$(call client_in,go,jlaffaye,go build -C tests/clients/jlaffaye -o $(CLIENTS)/jlaffaye .)

# $(call client_in,LANGUAGE,FILE,COMMAND): lets COMMAND make FILE unless it is there.
define client_in
if ! command -v $(1) >/dev/null; then echo 'WARNING: no $(1), so no test with $(2)' >&2; \
elif ! test -e $(CLIENTS)/$(2); then $(3) || { rm -rf $(CLIENTS)/$(2); echo 'WARNING: no test with $(2)' >&2; }; fi
endef

FUZZ_TARGETS := ascii commands host_port proxy telnet
FUZZ_SECONDS ?= 60

# No sanitizer: there is no `unsafe` to watch over, and so a stable compiler does. The versions are those of the gateway.
.PHONY: fuzz
fuzz: build-tools cargo-fuzz ## Look for input that breaks a parser, FUZZ_SECONDS (60) for each of fuzz/targets; `ARGS=NAME` takes one
	@cp Cargo.lock fuzz/Cargo.lock
	@failed=; for target in $(or $(ARGS),$(FUZZ_TARGETS)); do \
	  mkdir -p fuzz/corpus/$$target; \
	  $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 || failed="$$failed $$target"; \
	done; if [ -n "$$failed" ]; then echo "found something:$$failed" >&2; exit 1; fi

CHART_TOOLS := $(CURDIR)/target/chart
# The versions of Helm that the chart is tested with; 4 has to be one of them.
export HELMS ?= 3 4
# Without caches beside the sources.
CHART_PYTHON := $(CHART_TOOLS)/venv/bin/python -B

# Not in `make test`: the first time, building promtool and both versions of Helm takes minutes. Warm it takes one or two.
.PHONY: chart-test
chart-test: build-tools ## The Helm chart and what is made of it, where Go is installed; `make chart-test ARGS="-k NAME"` runs some
	@if ! command -v go >/dev/null; then echo 'WARNING: no go, so no test of the chart' >&2; else \
	  $(MAKE) chart-tools && $(CARGO) build --locked --bin bucketport && \
	  $(CHART_PYTHON) -m pytest --quiet -p no:cacheprovider tests/chart $(ARGS); \
	fi

.PHONY: chart-render
chart-render: chart-tools ## Write what is made of the chart: deploy/kubernetes, its README, the golden files of its tests
	$(CHART_PYTHON) tests/chart/render.py

CHART_CRDS := $(CHART_TOOLS)/crds/.$(PROMETHEUS_OPERATOR_VERSION)-$(CERT_MANAGER_VERSION)

.PHONY: chart-tools
chart-tools: $(foreach helm,$(HELMS),$(CHART_TOOLS)/helm-$(helm)/.$(HELM_$(helm)_VERSION)) \
  $(CHART_TOOLS)/helm-docs/.$(HELM_DOCS_VERSION) $(CHART_TOOLS)/promtool/.$(PROMTOOL_VERSION) $(CHART_CRDS) \
  $(CHART_TOOLS)/venv/.installed

$(CHART_TOOLS)/helm-3/.$(HELM_3_VERSION):
	@$(call go_install,helm.sh/helm/v3/cmd/helm@$(HELM_3_VERSION))

$(CHART_TOOLS)/helm-4/.$(HELM_4_VERSION):
	@$(call go_install,helm.sh/helm/v4/cmd/helm@$(HELM_4_VERSION))

$(CHART_TOOLS)/helm-docs/.$(HELM_DOCS_VERSION):
	@$(call go_install,github.com/norwoodj/helm-docs/cmd/helm-docs@$(HELM_DOCS_VERSION))

$(CHART_TOOLS)/promtool/.$(PROMTOOL_VERSION):
	@$(call go_install,github.com/prometheus/prometheus/cmd/promtool@$(PROMTOOL_VERSION))

# The kinds of others that the chart makes objects of. Their modules ship what describes them.
$(CHART_CRDS):
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(call go_module_files,github.com/prometheus-operator/prometheus-operator@$(PROMETHEUS_OPERATOR_VERSION), \
	  example/prometheus-operator-crd/*_podmonitors.yaml example/prometheus-operator-crd/*_servicemonitors.yaml \
	  example/prometheus-operator-crd/*_prometheusrules.yaml)
	@$(call go_module_files,github.com/cert-manager/cert-manager@$(CERT_MANAGER_VERSION),deploy/crds/*_certificates.yaml)
	@touch $@

# $(call go_module_files,MODULE@VERSION,FILES): puts FILES of a Go module beside the target.
define go_module_files
folder=$$(go mod download -json $(1) | sed -n 's/^\t"Dir": "\(.*\)",\?$$/\1/p'); \
for file in $(2); do install -m 0644 $$folder/$$file $(@D); done
endef

$(CHART_TOOLS)/venv/.installed: tests/chart/requirements.txt

# The versions of both tools are those with which the image is built.
version_in_image = $(shell sed -n 's/.* $(1)@\([0-9.]*\)$$/\1/p' Dockerfile)

.PHONY: licences
licences: cargo-about ## Write the licences of all crates that are linked in to target/THIRD-PARTY-LICENSES.txt
	@mkdir -p target
	$(CARGO) about generate --locked --fail --output-file target/THIRD-PARTY-LICENSES.txt about.hbs

.PHONY: sbom
sbom: cargo-cyclonedx ## Write the bill of materials to target/bucketport.cdx.json
	@mkdir -p target
	SOURCE_DATE_EPOCH=$(IMAGE_EPOCH) $(CARGO) cyclonedx --format json --spec-version 1.5 --no-build-deps \
	  --target $(shell uname -m)-unknown-linux-gnu --override-filename bucketport.cdx
	@mv bucketport.cdx.json target

IMAGE_TOOLS := $(CURDIR)/target/image

# Not in `make test`: the first time it builds the release and its tools from nothing, for a quarter of an hour or more.
.PHONY: image-test
image-test: build-tools ## Build the image without Docker, as root on Debian, and run it; `make image-test ARGS="-k NAME"` runs some tests
	@$(call image_build,) && $(IMAGE_TOOLS)/venv/bin/python -B -m pytest --quiet -p no:cacheprovider tests/image $(ARGS)

.PHONY: image-again
image-again: build-tools ## Build the image a second time from nothing, and compare
	@$(call image_build,--again)

# $(call image_build,OPTION): builds the image for its tests; where that is not possible it says so and ends the recipe.
define image_build
if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
  echo 'WARNING: not root on Debian or Ubuntu, so no test of the image' >&2; exit 0; \
fi; \
$(call apt_unless,type buildah debootstrap runc git >/dev/null 2>&1,buildah debootstrap runc git) && \
$(MAKE) $(IMAGE_TOOLS)/venv/.installed && python3 -B tests/image/build.py $(1) $(IMAGE_ARGS)
endef

$(IMAGE_TOOLS)/venv/.installed: tests/image/requirements.txt

##@ Measure

CONFORMANCE_TOOLS := $(CURDIR)/target/conformance

.PHONY: conformance
conformance: build-tools $(if $(BUCKETPORT_CONFORMANCE_URL),,conformance-servers) ## The storage suite on every store that can be had here, or on the one in BUCKETPORT_CONFORMANCE_URL
	@if [ -n "$${BUCKETPORT_CONFORMANCE_URL:-}" ]; then \
	  $(CARGO) test --locked --test conformance -- --nocapture on_endpoint::; \
	else \
	  binary=$$($(CARGO) test --locked --test conformance --no-run --message-format=json | \
	    sed -n 's/.*"executable":"\([^"]*conformance-[^"]*\)".*/\1/p'); \
	  python3 tests/conformance/servers.py $(CONFORMANCE_TOOLS) "$$binary" $(ARGS); \
	fi

.PHONY: conformance-servers
conformance-servers: $(CONFORMANCE_TOOLS)/bin/minio-$(MINIO_VERSION) $(CONFORMANCE_TOOLS)/bin/fake-gcs-server-$(FAKE_GCS_VERSION) \
  $(CONFORMANCE_TOOLS)/azurite/.$(AZURITE_VERSION)
	@$(call apt_unless,type curl python3 >/dev/null 2>&1,curl python3)

# $(call go_install,MODULE@VERSION): builds a Go program beside the target, an empty file that names the version.
define go_install
command -v go >/dev/null || { echo 'Go is missing: install it from https://go.dev/dl/, then try again.' >&2; exit 1; }; \
GOBIN=$(@D) go install $(1) && touch $@
endef

$(CONFORMANCE_TOOLS)/bin/minio-$(MINIO_VERSION):
	@$(call go_install,github.com/minio/minio@$(MINIO_VERSION))

$(CONFORMANCE_TOOLS)/bin/fake-gcs-server-$(FAKE_GCS_VERSION):
	@$(call go_install,github.com/fsouza/fake-gcs-server@$(FAKE_GCS_VERSION))

$(CONFORMANCE_TOOLS)/azurite/.$(AZURITE_VERSION):
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js, then try again.' >&2; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(CONFORMANCE_TOOLS)/azurite azurite@$(AZURITE_VERSION)
	@touch $@

BENCH_VENV := $(CURDIR)/target/bench-venv
BENCH_UNFTP := $(CURDIR)/target/bench-peers/unftp-$(UNFTP_VERSION)
BENCH_DEBIAN := $(CURDIR)/target/bench-peers/debian

.PHONY: bench
bench: tools bench-debian $(BENCH_VENV)/.installed $(BENCH_UNFTP)/bin/unftp $(CONFORMANCE_TOOLS)/bin/minio-$(MINIO_VERSION) ## Speed beside peers in one run; `ARGS=NAME` measures what has NAME in it
	BENCH_PYFTPDLIB_PYTHON=$(BENCH_VENV)/bin/python BENCH_UNFTP=$(BENCH_UNFTP)/bin/unftp BENCH_DEBIAN=$(BENCH_DEBIAN) \
	BENCH_MINIO=$(CONFORMANCE_TOOLS)/bin/minio \
	  $(CARGO) bench --locked --bench compare -- $(ARGS)

# Unpacked and not installed: their packages start daemons on port 21 and refuse to be there together. The benchmark says
# which peers it leaves out because they are not there.
.PHONY: bench-debian
bench-debian:
	@$(call apt_unpack,$(BENCH_DEBIAN)/usr/sbin/pure-ftpd,pure-ftpd,$(BENCH_DEBIAN))
	@$(call apt_unpack,$(BENCH_DEBIAN)/usr/sbin/vsftpd,vsftpd,$(BENCH_DEBIAN))
	@$(call apt_unpack,$(BENCH_DEBIAN)/usr/sbin/proftpd,proftpd-core,$(BENCH_DEBIAN))

$(BENCH_VENV)/.installed: tests/requirements.txt

$(BENCH_UNFTP)/bin/unftp:
	$(CARGO) install --locked unftp --version $(UNFTP_VERSION) --root $(BENCH_UNFTP)

##@ Tools

# $(call apt_unless,CHECK,PACKAGES): installs Debian or Ubuntu PACKAGES unless the command CHECK succeeds.
define apt_unless
if ! { $(1); }; then \
  command -v apt-get >/dev/null || { echo 'missing, and there is no apt-get to install them with: $(2)' >&2; exit 1; }; \
  sudo=; if [ "$$(id -u)" -ne 0 ]; then sudo=sudo; fi; \
  echo 'installing $(2)'; \
  $$sudo apt-get update -qq; \
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2) >/dev/null; \
fi
endef

# $(call apt_unpack,FILE,PACKAGE,FOLDER): unpacks a Debian or Ubuntu PACKAGE, with what it needs and the system has not, in
# FOLDER, unless its FILE is there. No rights are needed, except to learn of new versions.
define apt_unpack
if ! test -e $(1) && command -v apt-get >/dev/null; then \
  echo 'unpacking $(2) in $(3)'; \
  archives=$$(mktemp -d); mkdir $$archives/partial; \
  if [ "$$(id -u)" -eq 0 ]; then apt-get update -qq || true; fi; \
  apt-get install -qq -y --no-install-recommends --reinstall --download-only -o Debug::NoLocking=true \
    -o APT::Sandbox::User=root -o Dir::Cache::archives=$$archives $(2) >/dev/null || true; \
  mkdir -p $(3); \
  for archive in $$archives/*.deb; do if test -e $$archive; then dpkg-deb --extract $$archive $(3); fi; done; \
  rm -rf $$archives; \
fi
endef

# A Python environment for each file of requirements.
$(CHART_TOOLS)/venv/.installed $(IMAGE_TOOLS)/venv/.installed $(BENCH_VENV)/.installed:
	@$(call apt_unless,python3 -c 'import ensurepip' 2>/dev/null,python3 python3-venv)
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# A C compiler and linker, for rustc and the few C sources in the tree (no cmake, no libraries), and the certificates that
# HTTPS to a store is checked against.
.PHONY: build-tools
build-tools: ## Install what building and running need
	@command -v $(CARGO) >/dev/null || { \
	  echo 'Rust is missing: install it from https://rustup.rs, then try again.' >&2; exit 1; }
	@$(call apt_unless,printf '\043include <stdio.h>\nint main(void) { return 0; }' | \
	  cc -x c -o /dev/null - 2>/dev/null,gcc libc6-dev)
	@$(call apt_unless,test -s /etc/ssl/certs/ca-certificates.crt,ca-certificates)

.PHONY: tools
tools: build-tools cargo-deny ## Install what the tests need as well
	@$(call apt_unless,type curl lftp python3 git >/dev/null 2>&1,curl lftp python3 git)
	@$(call apt_unless,type haproxy >/dev/null 2>&1 || test -x /usr/sbin/haproxy,haproxy)
	@$(call apt_unless,type ip >/dev/null 2>&1 || test -x /sbin/ip,iproute2)
	@$(call apt_unless,test -x /usr/sbin/slapd,slapd)
	@$(call apt_unless,type nft >/dev/null 2>&1 || test -x /usr/sbin/nft,nftables)
	@{ $(CARGO) fmt --version && $(CARGO) clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy

# Built without the optimisation that takes most of the time: it runs for a second.
.PHONY: cargo-deny
cargo-deny: build-tools
	@[ "$$($(CARGO) deny --version 2>/dev/null)" = "cargo-deny $(CARGO_DENY_VERSION)" ] \
	  || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	    $(CARGO) install --locked cargo-deny --version $(CARGO_DENY_VERSION)

.PHONY: cargo-about
cargo-about: build-tools
	@[ "$$($(CARGO) about --version 2>/dev/null)" = "cargo-about $(call version_in_image,cargo-about)" ] \
	  || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	    $(CARGO) install --locked --features cli cargo-about --version $(call version_in_image,cargo-about)

.PHONY: cargo-cyclonedx
cargo-cyclonedx: build-tools
	@[ "$$($(CARGO) cyclonedx --version 2>/dev/null)" = "cargo-cyclonedx-cyclonedx $(call version_in_image,cargo-cyclonedx)" ] \
	  || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
	    $(CARGO) install --locked cargo-cyclonedx --version $(call version_in_image,cargo-cyclonedx)

# libFuzzer is C++, and is compiled with the targets.
.PHONY: cargo-fuzz
cargo-fuzz: build-tools
	@$(call apt_unless,type c++ >/dev/null 2>&1,g++)
	@[ "$$($(CARGO) fuzz --version 2>/dev/null)" = "cargo-fuzz $(CARGO_FUZZ_VERSION)" ] \
	  || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	    $(CARGO) install --locked cargo-fuzz --version $(CARGO_FUZZ_VERSION)

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
