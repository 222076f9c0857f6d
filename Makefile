# Atrium's commands. Everything needs nothing but python3 (3.11 or 3.12) and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo run test verify-s3 verify-providers verify-clients verify-crashes verify-long verify-roles verify-browser screenshots lint check-production prove bench bench-gateway bench-retrieval bench-billing bench-admin eval-retrieval eval-safety lock clean

# uv installs the list in seconds; where it cannot (a certificate store it does not read), pip does, in a minute or two.
install = $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r $(1) \
  || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $(1)

.venv/.run: requirements.txt requirements-tools.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-tools.txt
	@$(call install,requirements.txt)
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	@$(call install,requirements-dev.txt)
	@touch $@

demo: .venv/.run  ## the whole main job on real parts, then serve until Ctrl-C (DEMO_EXIT=1: stop)
	@$(BIN)/python -m config.demo.run

run: .venv/.run  ## serve: web, workers and beat, on embedded services unless DATABASE_URL and REDIS_URL are given
	@$(BIN)/python -m config.supervisor

# OpenStack Swift with its S3 interface, for the tests of buckets, in an environment of its own: where its eventlet can
# be imported, other libraries import it.
.swift/.made: requirements-swift.txt
	@test -x .swift/bin/python || $(PYTHON) -m venv .swift
	@.swift/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-swift.txt
	@touch $@

test: .venv/.dev  ## the suite on its own services
	@$(BIN)/python -m pytest -n 3

verify-s3: .venv/.dev .swift/.made  ## buckets and the object store against a real S3 server
	@REQUIRE_SWIFT=1 $(BIN)/python -m pytest -m s3 tests/knowledge/sources/test_syncing.py tests/knowledge/test_storage_s3.py

# Programs of customers, on libraries that Atrium itself does not need.
.clients/.made: requirements-clients.txt
	@test -x .clients/bin/python || $(PYTHON) -m venv .clients
	@.clients/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-clients.txt
	@touch $@

verify-clients: .venv/.dev .clients/.made  ## LangChain's and LlamaIndex's OpenAI clients against the running stack
	@$(BIN)/python -m pytest -m clients tests/e2e/test_clients.py

# llama.cpp's server, compiled from source in an environment of its own: some ten minutes on two cores.
.llama/.made: requirements-llama.txt
	@test -x .llama/bin/python || $(PYTHON) -m venv .llama
	@CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" nice -n 10 .llama/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-llama.txt
	@touch $@

verify-providers: .venv/.dev .llama/.made  ## the clients of models against a real server, with a random model made on the spot
	@REQUIRE_LLAMA=1 $(BIN)/python -m pytest -m llama tests/inference/test_real_server.py

verify-crashes: .venv/.dev  ## processes killed or stopped in the middle of their work, and Redis emptied under them
	@$(BIN)/python -m pytest -m crashes

verify-long: .venv/.dev  ## every file format, every method of the SDK and finance's whole month, end to end
	@$(BIN)/python -m pytest -m long tests/e2e

verify-roles: .venv/.dev  ## every role at every page of the admin, and at every action
	@$(BIN)/python -m pytest -m walks tests/tenants/test_roles.py

verify-browser: .venv/.dev  ## the admin in a real Chromium (apt-get install chromium) over the running stack
	@$(BIN)/python -m pytest -m browser tests/browser

screenshots: .venv/.dev  ## pictures of the admin's main pages, for the README
	@$(BIN)/python -m tests.browser.screenshots

lint: .venv/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

# Worthless values of the right shape: the check reads settings, it connects to nothing.
PRODUCTION := ATRIUM_ENV=production SECRET_KEY=n4Vq8hXw2rTz6kBd9mJs3pLf7yGc1aEu5oRi0QxWvHtKbZgNjM \
  API_KEY_HASH_KEYS=check FIELD_ENCRYPTION_KEYS=c29tZSBmZXJuZXQga2V5IGZvciB0aGUgdGVzdHMuISE= \
  ALLOWED_HOSTS=api.example.com DATABASE_URL=postgresql://app:x@db.example.com/atrium REDIS_URL=redis://db.example.com

check-production: .venv/.dev  ## Django's deployment checks on production settings, and no migration missing
	@$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	@$(BIN)/python -W ignore manage.py makemigrations --check --dry-run

prove: .venv/.dev  ## the promises of the README that take too long for the suite
	@$(BIN)/python -m tests.prove

bench: .venv/.dev  ## Atrium beside LiteLLM's proxy, the bare embedder and bare SQL, in one run
	@$(BIN)/python -m tests.bench

bench-gateway: .venv/.dev  ## a gateway's overhead beside LiteLLM's proxy, paced streams, a thousand streams at once
	@$(BIN)/python -m tests.bench.gateway && $(BIN)/python -m tests.bench.streams

eval-retrieval: .venv/.dev  ## nDCG@10 and recall@10 of search, through the API; COLLECTION=folder for another one than CISI
	@$(BIN)/python -m tests.eval $(COLLECTION)

eval-safety: .venv/.dev  ## precision and recall of the safety screens on a small labelled set, and their time
	@DJANGO_SETTINGS_MODULE=config.settings $(BIN)/python -m tests.inference.safety

bench-retrieval: .venv/.dev  ## a million vectors of 1,000 tenants: recall and time beside the best SQL by hand
	@$(BIN)/python -m tests.bench.scale

bench-billing: .venv/.dev  ## reports and exports over ten million ledger lines, and the limiter's rate over a minute
	@$(BIN)/python -m tests.bench.billing && $(BIN)/python -m tests.bench.rate

bench-admin: .venv/.dev  ## the admin's long lists at a million requests of one tenant: each filter, search and deep page
	@$(BIN)/python -m tests.bench.admin

lock:  ## pin requirements*.in again (needs uv)
	@for name in requirements requirements-dev requirements-tools requirements-swift requirements-clients requirements-llama; do $(BIN)/uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header $$name.in -o $$name.txt; done

clean:
	rm -rf .venv .swift .clients var
