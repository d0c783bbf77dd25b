# GNU make. The extension's scripts are built by cat; nothing but `install` and
# `uninstall` writes outside this directory, and only `demo`, `test` and their
# kin may install missing Debian packages (dev/setup says which).
#
#   PG_CONFIG=...  the server to use (default: the newest one found)
#   DESTDIR=...    put before every path that `install` writes

EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" extension/pgagent.control)

TABLES = $(patsubst %,sql/tables/%.sql, \
	schema access arming agent session run_as isolation job schedule timezone log skip aside request pause caution change alert \
	retention)
FUNCTIONS = $(patsubst %,sql/functions/%.sql, \
	meta/version meta/isolation time/calendar time/next_run time/grammar time/schedule time/image \
	state/restore state/owners state/sequences state/wishes state/cautions state/limits state/pauses state/make_up state/zones state/refuse state/triggers state/changes state/arming \
	state/agent state/claim state/record state/figures state/salvage state/older_runners state/prune state/silences \
	alerts/rules alerts/tell alerts/runs alerts/watch alerts/deliver \
	api/run_as problems/obstacles api/views api/classes api/job api/steps api/schedules api/exceptions api/pg_cron api/run api/pause api/alerts api/explain api/changes api/log \
	problems/waiting problems/failing problems/long problems/all_jobs problems/problems \
	files/attributes files/stored files/export files/wanted files/apply \
	api/metrics meta/policies meta/access meta/grants meta/pg_dump)
# Comments from the tables' own files, for updates: each is written once.
COMMENTS = build/sql/comments.sql
# Each update begins with a look at what could be in its way.
OBSTACLES = build/sql/obstacles.sql

# Upgrades form one chain, sql/upgrade/OLD--NEW.sql. The script from any older version to
# this one is the deltas on the way and, at its end, the same functions as a new
# installation has. The tables have not changed from 3.4 to 4.2.
DELTAS := $(shell ls sql/upgrade/[0-9]*--*.sql | sort -V)
OLD_VERSIONS := 3.4 4.0 4.1 $(shell echo $(DELTAS) | sed -E 's,sql/upgrade/([^ ]*)--[^ ]*\.sql,\1,g')
first_delta = $(if $(filter 3.4 4.0 4.1,$1),4.2,$1)
deltas_from = $(shell printf '%s\n' $(DELTAS) | sed -n '/\/$(call first_delta,$1)--/,$$p')
NEWEST_DELTA := $(filter %--$(EXTVERSION).sql,$(lastword $(DELTAS)))
ifeq ($(NEWEST_DELTA),)
$(error version $(EXTVERSION) of extension/pgagent.control has no delta: \
	sql/upgrade/OLD--$(EXTVERSION).sql must end the chain $(DELTAS))
endif

PYTHON_SCRIPT = extension/pgagent_python--$(EXTVERSION).sql
HELPERS = describe crontab pg_cron rrule ics mail webhook
PYTHON_HELPERS = $(patsubst %,sql/plpython/%.sql,head $(HELPERS))
PYTHON_BODIES = $(HELPERS:%=build/plpython/%.py)

INSTALL_SCRIPT = extension/pgagent--$(EXTVERSION).sql
UPGRADE_SCRIPTS = $(OLD_VERSIONS:%=extension/pgagent--%--$(EXTVERSION).sql)
ADOPTION_SCRIPTS = extension/pgagent--unpackaged.sql \
	extension/pgagent--unpackaged--$(EXTVERSION).sql \
	extension/pgagent--plain.sql extension/pgagent--plain--$(EXTVERSION).sql
# pgagent_python came with 5.0.0.
PYTHON_UPGRADE_SCRIPTS = $(patsubst %,extension/pgagent_python--%--$(EXTVERSION).sql, \
	$(filter-out 3.% 4.%,$(OLD_VERSIONS)))
SCRIPTS = $(INSTALL_SCRIPT) $(UPGRADE_SCRIPTS) $(ADOPTION_SCRIPTS) \
	$(PYTHON_SCRIPT) $(PYTHON_UPGRADE_SCRIPTS)
EXTENSION_FILES = extension/pgagent.control extension/pgagent_python.control $(SCRIPTS)

# The same files without CREATE EXTENSION, for `pgagent init`: outside of an extension's
# script nothing can be said about pg_dump.
CATALOGUE = python/src/pgagent_runner/catalog/sql
PLAIN_FUNCTIONS = $(filter-out sql/functions/meta/pg_dump.sql,$(FUNCTIONS))
PLAIN_SCRIPTS = $(CATALOGUE)/tables.sql $(CATALOGUE)/functions.sql \
	$(CATALOGUE)/trust.sql $(CATALOGUE)/obstacles.sql $(DELTAS:sql/upgrade/%=$(CATALOGUE)/%)

BIN = build/venv/bin
CONFIG = python/pyproject.toml
PYTHON_CODE = python/src dev tests chaos $(wildcard bench/*.py)
# CREATE OR REPLACE in an extension's script can't take over what is not a member, in
# PostgreSQL 13.8, 14.5 and later.
PGSPOT_OPTIONS = --ignore PS002 --ignore PS015 --ignore-lang plpython3u

# All tests are shared out to five processes, each with a server of its own: most of the
# time a test waits for others. tests/conftest.py says in which order.
TEST_OPTIONS = $(if $(K),-k "$(K)") $(if $(T)$(K),, \
	--numprocesses 5 --dist loadfile --no-loadscope-reorder)

# Whatever starts the runner again and again would compile it each time.
unexport PYTHONDONTWRITEBYTECODE

CHAOS = PYTHONPATH=dev:. $(BIN)/python -m chaos
CHAOS_OPTIONS = $(if $(SEED),--seed $(SEED)) $(if $(N),--count $(N)) \
	$(if $(JOBS),--jobs $(JOBS)) $(ONLY)

# The version, and the names of what is ours, are written into the scripts here.
names = $(shell sed -nE 's/^CREATE (OR REPLACE )?($1) pgagent\.([a-z_]+).*/\3/p' \
	$(TABLES) $(DELTAS) $(FUNCTIONS) | sort -u | paste -sd,)
BUILD = sed -e 's/@VERSION@/$(EXTVERSION)/g'

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
$(SCRIPTS) $(PLAIN_SCRIPTS): Makefile extension/pgagent.control
.PHONY: help all install uninstall demo test matrix lint gates docs docs-check format bench bench-beside chaos chaos-long harms \
	dist release-check freeze next clean \
	machine peers

help: ## List what there is to do
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

all: $(SCRIPTS) $(PLAIN_SCRIPTS) ## Build the extension's scripts, and those of `pgagent init`

# A fresh install must not take over a function that somebody has put there before.
$(INSTALL_SCRIPT): sql/install.head.sql $(TABLES) $(FUNCTIONS)
	@cat $(filter %.sql,$^) | $(BUILD) -E \
		-e 's/^CREATE OR REPLACE (FUNCTION|VIEW)/CREATE \1/' >$@

$(COMMENTS): $(TABLES)
	@mkdir -p $(@D)
	@awk '/^COMMENT ON / { inside = 1 } inside { print } /;$$/ { inside = 0 }' $^ >$@

$(OBSTACLES): sql/upgrade/obstacles.sql dev/changes $(DELTAS) $(FUNCTIONS)
	@mkdir -p $(@D)
	@dev/changes $(DELTAS) $(FUNCTIONS) >build/sql/changes
	@sed -e '/^@CHANGES@$$/{' -e 'r build/sql/changes' -e 'd' -e '}' $< >$@

.SECONDEXPANSION:
$(UPGRADE_SCRIPTS): extension/pgagent--%--$(EXTVERSION).sql: \
		sql/upgrade.head.sql sql/upgrade/trust.sql $(OBSTACLES) $$(call deltas_from,$$*) \
		$(COMMENTS) $(FUNCTIONS)
	@cat $(filter %.sql,$^) | $(BUILD) >$@

extension/pgagent--unpackaged--$(EXTVERSION).sql: \
		sql/upgrade.head.sql sql/upgrade/trust.sql $(OBSTACLES) \
		sql/upgrade/unpackaged--4.2.sql $(DELTAS) $(COMMENTS) $(FUNCTIONS)
	@cat $(filter %.sql,$^) | $(BUILD) >$@

extension/pgagent--plain--$(EXTVERSION).sql: \
		sql/upgrade.head.sql sql/upgrade/trust.sql \
		sql/upgrade/plain--adopted.sql $(COMMENTS) $(FUNCTIONS)
	@cat $(filter %.sql,$^) | $(BUILD) -e 's/@FUNCTIONS@/$(call names,FUNCTION)/' \
		-e 's/@RELATIONS@/$(call names,TABLE|VIEW)/' -e 's/@DOMAINS@/$(call names,DOMAIN)/' >$@

$(CATALOGUE)/tables.sql: $(TABLES)
$(CATALOGUE)/functions.sql: $(COMMENTS) $(PLAIN_FUNCTIONS)
$(CATALOGUE)/tables.sql $(CATALOGUE)/functions.sql:
	@mkdir -p $(@D)
	@cat $(filter %.sql,$^) | $(BUILD) >$@
$(CATALOGUE)/trust.sql $(DELTAS:sql/upgrade/%=$(CATALOGUE)/%): $(CATALOGUE)/%: sql/upgrade/%
	@mkdir -p $(@D)
	@cp $< $@
$(CATALOGUE)/obstacles.sql: $(OBSTACLES)
	@cp $< $@

# What reads a crontab is the runner's (`pgagent import crontab`), too, and so is what
# sends mail and JSON (`pgagent send-alerts`).
PYTHON_PARTS = $(wildcard sql/plpython/*.py) \
	python/src/pgagent_runner/verbs/imports/crontab_lines.py \
	$(patsubst %,python/src/pgagent_runner/sending/%.py,refusal limited smtp posting)

# A line "-- include NAME.py" stands for that file, but for its imports of ours.
$(PYTHON_SCRIPT): $(PYTHON_HELPERS) $(PYTHON_PARTS)
	@cat $(filter %.sql,$^) | awk '/^-- include / \
		{ file = ($$3 ~ "/" ? "" : "sql/plpython/") $$3; while ((getline line < file) > 0) \
			if (line !~ /^from pgagent_runner\./) print line; \
		  close(file); next } { print }' >$@

$(PYTHON_UPGRADE_SCRIPTS): $(PYTHON_SCRIPT)
	@sed -e 's/^CREATE FUNCTION/CREATE OR REPLACE FUNCTION/' \
		-e 's/"CREATE EXTENSION pgagent_python CASCADE"/"ALTER EXTENSION pgagent_python UPDATE"/' \
		$< >$@

# For mypy: a body as one module, with all names that its files take from each other.
$(PYTHON_BODIES): build/plpython/%.py: sql/plpython/%.sql $(PYTHON_PARTS)
	@mkdir -p $(@D)
	@echo "import plpy" >$@
	@sed -nE -e 's|^-- include (.*/)|\1|p' -e 's|^-- include |sql/plpython/|p' $< | xargs cat \
		| sed '/^from pgagent_runner\./d' >>$@

extension/pgagent--unpackaged.sql extension/pgagent--plain.sql: \
		extension/pgagent--%.sql: sql/upgrade/%.sql
	@cat $(filter %.sql,$^) >$@

# In somebody else's folder root only copies: what it built would be root's.
BUILT = $(if $(shell dev/install visiting),built,all)
.PHONY: built
built:
	@$(MAKE) --no-print-directory --question all || { dev/install unbuilt; exit 1; }

install: $(BUILT) ## Copy the extension's files into the server; PG_CONFIG=... names one
	@DESTDIR="$(DESTDIR)" dev/install $(EXTENSION_FILES)

uninstall: ## Remove the extension's files from the server
	cd "$(DESTDIR)$$(dev/pg_config --sharedir)/extension" && \
	rm -f $(notdir $(EXTENSION_FILES))

demo: machine-runner all ## Try it: a throw-away server with a runner and jobs
	$(BIN)/python dev/demo.py

# PLAIN=1 T="tests/catalog tests/api tests/schedule tests/daemon": without CREATE EXTENSION.
test: machine-test peers all ## Run the tests; T=tests/schedule K=expression to choose
	$(BIN)/python -m pytest -c $(CONFIG) --rootdir . $(or $(T),tests) $(TEST_OPTIONS)

matrix: machine peers all ## The tests on each PostgreSQL and Python; PG=13 PY=3.14 to choose
	PYTHONPATH=dev $(BIN)/python -m matrix $(if $(PG),--pg "$(PG)") \
	$(if $(PY),--py "$(PY)") $(if $(T),--tests "$(T)")

lint: machine all $(PYTHON_BODIES) ## Check the code
	$(BIN)/ruff check --config $(CONFIG) .
	$(BIN)/ruff format --config $(CONFIG) --check .
	$(BIN)/mypy --config-file $(CONFIG) $(PYTHON_CODE)
	MYPYPATH=sql/plpython $(BIN)/mypy --config-file $(CONFIG) $(PYTHON_BODIES)
	$(BIN)/lint-imports --config $(CONFIG)
	$(BIN)/pgspot $(INSTALL_SCRIPT)
	$(BIN)/pgspot $(PGSPOT_OPTIONS) $(SCRIPTS)
	$(BIN)/codespell --skip './build,./.git' .

gates: machine peers all ## Try what has to hold before a change is done; ONLY=word
	ONLY="$(ONLY)" $(BIN)/python dev/gates.py

docs-check: ## Follow the documents on a fresh Debian, as root: BASE=directory SUITE=trixie ONLY=word
	@BASE="$(BASE)" SUITE="$(SUITE)" ONLY="$(ONLY)" PYTHONPATH=dev python3 dev/docs_check.py

docs: machine all ## Write docs/reference.md and cli.md, man pages, tables of options and of access anew
	$(BIN)/python dev/reference.py
	$(BIN)/python dev/option_table.py
	$(BIN)/python dev/cli_pages.py
	$(BIN)/python dev/access_matrix.py

format: machine ## Format the Python code
	$(BIN)/ruff check --config $(CONFIG) --fix-only .
	$(BIN)/ruff format --config $(CONFIG) .

bench: machine peers all ## Measure against the peers; M=floor,sustained QUICK=1 to choose
	PYTHONPATH=dev M=$(M) QUICK=$(QUICK) $(BIN)/python bench/run.py

bench-beside: machine-runner all ## Costs beside an older commit; OLD=commit PAIRS=10 BOUND=1.05
	PYTHONPATH=dev OLD=$(OLD) PAIRS=$(PAIRS) BOUND=$(BOUND) QUICK=$(QUICK) \
	$(BIN)/python bench/beside.py

chaos: machine peers all ## Try the promises under faults: minutes; ONLY=R6 N=5 SEED=1
	$(CHAOS) $(CHAOS_OPTIONS)

chaos-long: machine peers all ## The same with the full counts: about an hour
	$(CHAOS) --long $(CHAOS_OPTIONS)

harms: machine peers all ## One bad thing at a time beside good jobs; CELLS=locks OLD=commit DAEMON=1
	PYTHONPATH=dev:. $(BIN)/python -m chaos.harms $(if $(OLD),--old $(OLD)) \
	$(if $(DAEMON),--daemon) $(if $(N),--seconds $(N)) $(CELLS)

dist: machine all ## Pack the committed tree for PGXN, and the runner for PyPI
	git archive --format=zip --prefix=pgagent-$(EXTVERSION)/ \
		-o build/pgagent-$(EXTVERSION).zip HEAD
	$(BIN)/python -m venv build/dist
	build/dist/bin/pip install --quiet build
	build/dist/bin/python -m build --outdir build python
	$(BIN)/python -m venv --clear build/installed
	build/installed/bin/pip install --quiet build/pgagent_runner-$(EXTVERSION)-*.whl
	build/installed/bin/pgagent --version

release-check: machine all ## Is this version fit to be released? (docs/releasing.md)
	$(BIN)/python dev/release.py check

freeze: machine all ## Keep the scripts and the runner of a released version
	$(BIN)/python dev/release.py freeze

next: machine ## Begin the next version: make next V=5.2.0
	$(BIN)/python dev/release.py next $(V)

clean: ## Remove everything that was built
	rm -rf build extension/*--*.sql $(CATALOGUE) python/src/*.egg-info

.PHONY: lock machine-runner machine-test
lock: machine ## Pin the newest libraries and tools in python/requirements/
	dev/lock

# These fill build/venv: with the runner, the tools for tests as well, or all tools.
machine-runner:
	@dev/setup runner

machine-test:
	@dev/setup test

machine:
	@dev/setup lint

peers: machine-runner
	@dev/peers
