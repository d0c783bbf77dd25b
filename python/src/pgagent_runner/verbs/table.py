"""The verbs of the command, each with all that is to be said of it.

Command line, help, completion, man pages and docs/cli.md are made from here: `make
docs` writes the last two.
"""

import difflib
from collections.abc import Iterator

from pgagent_runner.declaring import Option, options_of, whole
from pgagent_runner.options import AgentOptions
from pgagent_runner.verbs.frame import YES, Argument, Verb

_MOST = 1_000_000_000

JOB = Argument(
    ("job",), "the name of a job, or its id", metavar="JOB", completes="jobs"
)
JOBS = Argument(
    ("jobs",),
    "the name of a job, or its id; of several, all are changed or none",
    metavar="JOB",
    nargs="+",
    completes="jobs",
)
ONE_JOB_OR_ALL = Argument(
    ("job",),
    "only of this job: its name, or its id",
    metavar="JOB",
    nargs="?",
    completes="jobs",
)
JOBS_OR_ALL = Argument(
    ("jobs",),
    "the name of a job, or its id; several may be given",
    metavar="JOB",
    nargs="*",
    completes="jobs",
)
UNTIL = Argument(("--until",), "end it then", metavar="TIME", excludes="end")
FOR = Argument(
    ("--for",),
    "end it after this long: '2 hours'",
    metavar="SPAN",
    dest="span",
    excludes="end",
)
REASON = Argument(("--reason",), "why, for those who look", metavar="TEXT", default="")
CONNINFO = Argument(
    ("conninfo",),
    "the database, as -d has it, but never its name alone",
    metavar="CONNINFO",
    nargs="*",
)
DRY_RUN = Argument(
    ("--dry-run",), "print the SQL and change nothing; psql can execute it"
)

FILE = Argument(
    ("file",), "a file of jobs, as export writes it", metavar="FILE", completes="files"
)
PRUNE = Argument(
    ("--prune",),
    "also drop jobs that this file has made and has no longer (those of its set)",
)

_ONE_TRANSACTION = "It is one transaction: all is done, or nothing."
_TIMES = (
    "A TIME is what PostgreSQL takes for one, in your time zone: '2030-01-31 06:00',"
    " 'yesterday', 'tomorrow 06:00'; or a time of today, '06:00'."
)


def _of_the_runner(option: Option) -> Iterator[Argument]:
    """Yield an option of the runner as an argument, or two that are opposites."""
    form = option.form()
    more = option.shown_default and f" (default: {option.shown_default})"
    help_ = option.help + more
    known = option.kind.arguments
    metavar = option.metavar or ""
    if form.is_positional:
        yield Argument((form.flag,), help_, metavar=metavar, nargs="*")
    elif known.get("action") is not None and not metavar:
        yield Argument((form.flag,), help_)
        yield Argument((form.flag.replace("--", "--no-", 1),), "the opposite")
    else:
        choices = tuple(known.get("choices", ()))
        completes = "files" if metavar == "FILE" else ""
        yield Argument(
            (form.flag,), help_, metavar=metavar, choices=choices, completes=completes
        )


RUN = Verb(
    "run",
    "Run the jobs that are due, until told to stop",
    "",
    "The runner: it executes what is due, in the foreground. Ctrl-C or SIGTERM stops"
    " it: runs under way may go on for --grace seconds, or until it is told again. Each"
    " option may also stand in pgagent.toml, and in a variable: --log-level is"
    " log_level there, under [run], and PGAGENT_LOG_LEVEL.",
    tuple(one for option in options_of(AgentOptions) for one in _of_the_runner(option)),
    level="runner",
    has_database=False,
    exits=((70, "it is stuck, and ends so that others can go on"),),
)
"""`pgagent run`, for completion and documents alone: see `cli.py`."""


def _as_to_the_runner(*names: str) -> tuple[Argument, ...]:
    """Return options of the runner that a verb takes as well."""
    return tuple(
        Argument(
            (option.form().flag,),
            f"as the runner has it: {option.help}",
            metavar=option.metavar or "",
            kind=option.kind,
            completes="files" if option.metavar == "FILE" else "",
        )
        for option in options_of(AgentOptions)
        if option.name in names
    )


VERBS = (
    RUN,
    Verb(
        "list",
        "List the jobs: state, next run, how the last one ended",
        "looking.list_jobs",
        "Prints a line for each job. CSV, JSON and -x have all columns of the view"
        " pgagent.job_status.",
        (
            Argument(
                ("--failed",), "only jobs whose last run has failed or was aborted"
            ),
        ),
        (
            ("pgagent list", "all jobs of the database that PG* variables say"),
            ("pgagent list --failed --json", "those that need a look, for a program"),
        ),
        prints_rows=True,
    ),
    Verb(
        "show",
        "Show a job with its steps, schedules and exceptions",
        "looking.show_job",
        "Prints all that defines a job, and its state. Attributes that say nothing are"
        " left out, but not in JSON. Connection strings are not shown, only that there"
        " is one.",
        (JOB,),
        (("pgagent show nightly", "what it does, and when"),),
        prints_rows=True,
    ),
    Verb(
        "next",
        "Show when jobs will run",
        "looking.next_runs",
        "Prints the next times at which schedules start a job, or all enabled jobs"
        " together. What is special about a time is said: that clocks change, or that"
        " an exception leaves out the one before. Paused jobs have their times, too.",
        (
            ONE_JOB_OR_ALL,
            Argument(
                ("-n", "--limit"),
                "print at most so many; 10 by default",
                metavar="N",
                kind=whole(1, 100_000),
                default=10,
            ),
            Argument(("--until",), "no times after this one", metavar="TIME"),
        ),
        (
            ("pgagent next", "what comes next, of all jobs"),
            ("pgagent next nightly -n 3 --until '2099-01-01'", "three times of one"),
        ),
        prints_rows=True,
    ),
    Verb(
        "runs",
        "List runs, the latest first",
        "looking.list_runs",
        "Prints a line for each run: when it began, how long it took, how it ended and"
        f" why.\n\n{_TIMES} --since takes a span of time as well, which ends now: '2"
        " hours'.",
        (
            ONE_JOB_OR_ALL,
            Argument(("--failed",), "only runs that have failed or were aborted"),
            Argument(("--running",), "only runs that are under way"),
            Argument(
                ("--since",), "only runs that began then or later", metavar="TIME"
            ),
            Argument(
                ("-n", "--limit"),
                "print at most so many; 20 by default, and with --since all",
                metavar="N",
                kind=whole(1, _MOST),
            ),
        ),
        (
            ("pgagent runs", "what has run lately"),
            ("pgagent runs nightly --failed --since '30 days'", "when it went wrong"),
        ),
        prints_rows=True,
    ),
    Verb(
        "logs",
        "Print what the steps of a run have written",
        "looking.print_logs",
        "Prints the output of each step of a run, each attempt by itself: of a run with"
        " this id, or of the latest run of a job. Into a file or a pipe it goes as it"
        " is; on a terminal, whatever could steer that is written out.",
        (
            Argument(
                ("run",),
                "the id of a run; or the name of a job, for its latest run",
                metavar="RUN",
                completes="runs",
            ),
            Argument(("--step",), "only of the step of this name", metavar="STEP"),
        ),
        (
            ("pgagent logs nightly", "why has it failed?"),
            ("pgagent logs 47 --step '1 dump'", "the output of one step"),
        ),
        prints_rows=True,
    ),
    Verb(
        "problems",
        "List what is wrong now",
        "health.list_problems",
        "Prints a line for each problem, as the view pgagent.problems has them: a job"
        " whose last run has failed or was aborted, that is late, takes too long, was"
        " disabled for its failures, is set aside or can't run; no runner alive; a copy"
        " that is not armed. detail says why.\n\nThe exit code does not say whether"
        " there are problems, only whether that could be told: `pgagent health` answers"
        " by its exit code.",
        (ONE_JOB_OR_ALL,),
        (
            ("pgagent problems", "what needs a look"),
            ("pgagent problems nightly --json", "of one job, for a program"),
        ),
        prints_rows=True,
    ),
    Verb(
        "health",
        "Say in one line how things are, for Nagios and its kin",
        "health.health",
        "Prints one line and exits as a Nagios plugin does. It asks the database alone,"
        " and so is right although no runner may be alive.\n\nIt is CRITICAL if a job"
        " is due and has waited for longer than --critical seconds, if the database"
        " can't be reached or does not answer in time, or row security was lost in a"
        " restore. It is WARNING if a job has waited for longer than --warning seconds,"
        " if no runner is alive though nothing may be due, and for whatever else"
        " `pgagent problems` lists: failed and aborted jobs, for instance. With --job"
        " only that job counts, with what concerns all; then it is CRITICAL if that has"
        " failed, was aborted, was disabled for that, or can't run for its role or its"
        " time zone. Jobs that are paused do not wait; a job that somebody has disabled"
        " is well. It is UNKNOWN if a right is lacking, or there is no such job, or no"
        " extension of this version.\n\nThe figures are late (seconds that a job has"
        " waited, at most), running and problems (how many), and runners (how many are"
        " alive).",
        (
            Argument(
                ("--warning",),
                "warn of a job that has waited for longer; 60 by default",
                metavar="SECONDS",
                kind=whole(0, _MOST),
                default=60,
            ),
            Argument(
                ("--critical",),
                "be critical of a job that has waited for longer; 300 by default",
                metavar="SECONDS",
                kind=whole(0, _MOST),
                default=300,
            ),
            Argument(
                ("--job",),
                "look at this job only: its name, or its id",
                metavar="JOB",
                completes="jobs",
            ),
            Argument(
                ("--timeout",),
                "wait no longer for the database; 10 by default",
                metavar="SECONDS",
                kind=whole(1, 3600),
                default=10,
            ),
        ),
        (
            ("pgagent health", "of all jobs"),
            (
                "pgagent health --job nightly --warning 600 --critical 3600",
                "of one, that may wait for a while",
            ),
        ),
        exits=(
            (0, "OK"),
            (1, "WARNING"),
            (2, "CRITICAL"),
            (3, "UNKNOWN: it can't be told, or the command line makes no sense"),
        ),
        unknown=3,
    ),
    Verb(
        "explain",
        "Say why a job runs, or why not",
        "looking.explain",
        "Prints what the start of a job depends on: beside each thing whether it lets"
        " the job start (ok: no is what is in the way), and a sentence that says why.",
        (JOB,),
        (("pgagent explain nightly", "why has it not begun?"),),
        prints_rows=True,
    ),
    Verb(
        "metrics",
        "Print metrics as Prometheus reads them",
        "metrics.print_metrics",
        "Prints what the view pgagent.metrics has in Prometheus' text format. That is"
        " the state of the database, which needs no runner that is alive; a runner's"
        " own figures are served by one with --listen. With --output a file is replaced"
        " at once, as node_exporter's textfile collector wants it: where the"
        " database can't be asked, it stays as it was, which its age tells.",
        (
            Argument(
                ("--output", "-o"),
                "write into this file instead of standard output",
                metavar="FILE",
                completes="files",
            ),
        ),
        (
            ("pgagent metrics", "all of them"),
            (
                "pgagent metrics --output pgagent.prom",
                "for node_exporter, in its folder for text files; each minute, by cron",
            ),
        ),
    ),
    Verb(
        "start",
        "Start a job now",
        "acting.start",
        "Has a job run at once, even a disabled one; if it is running, it runs again"
        " right after. Prints the id of the run. With --wait it prints how that has"
        " ended, and exits with 0 if it has succeeded or there was nothing to do, with"
        " 1 otherwise. Ctrl-C ends the wait and not the run, which `pgagent cancel`"
        " does.",
        (
            JOB,
            Argument(
                ("--from",),
                "begin with the step of this name: what stands before it is left out",
                metavar="STEP",
                dest="from_step",
            ),
            Argument(("--wait",), "wait for the end of the run"),
        ),
        (
            ("pgagent start nightly", "run it now"),
            ("pgagent start nightly --from '2 report' --wait", "again from this step"),
        ),
        level="operator",
        prints_rows=True,
        exits=((130, "Ctrl-C has ended the wait"),),
    ),
    Verb(
        "cancel",
        "Stop a run, or all of a job that is under way or promised",
        "acting.cancel",
        "Stops a run: a statement is cancelled, a script's processes are ended, and the"
        " run ends as aborted. Of a job, what is under way is stopped, and what has"
        " been asked for and has not begun is taken back. A number is the id of a run,"
        " unless a job has it for its name.\n\nIt asks first, on a terminal. The exit"
        " code is 1 if there was nothing to stop.",
        (
            Argument(
                ("target",),
                "the id of a run, or the name of a job",
                metavar="RUN|JOB",
                completes="jobs",
            ),
            YES,
        ),
        (("pgagent cancel nightly --yes", "stop it, without a question"),),
        level="operator",
        prints_rows=True,
    ),
    Verb(
        "enable",
        "Enable jobs: their schedules start them",
        "acting.enable",
        "Has the schedules of jobs start them again.",
        (JOBS,),
        (("pgagent enable nightly", "have it run when it is due"),),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "disable",
        "Disable jobs: no schedule starts them",
        "acting.disable",
        "Has no schedule start these jobs any more; `pgagent start` does. A run under"
        " way goes on. For a while only, as for maintenance, there is `pgagent pause`,"
        " which forgets nothing.",
        (JOBS,),
        (("pgagent disable nightly", "have it run no more"),),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "pause",
        "Pause jobs, or all: nothing of them starts for a while",
        "acting.pause",
        "Nothing of a paused job starts, whatever it is due for or was asked for, until"
        " it is unpaused or the time has come. Runs under way go on. Afterwards the"
        " rule of each job for missed runs says what becomes of the times that have"
        " passed."
        f" What is disabled stays so. A second pause takes the place of the first.\n\n"
        f"{_TIMES}",
        (
            JOBS_OR_ALL,
            Argument(("--all",), "pause all jobs, new ones too"),
            UNTIL,
            FOR,
            REASON,
        ),
        (
            ("pgagent pause nightly --for '2 hours'", "leave it out for now"),
            (
                "pgagent pause --all --until '2099-01-31 06:00' --reason maintenance",
                "nothing starts meanwhile",
            ),
        ),
        level="operator",
        prints_rows=True,
    ),
    Verb(
        "unpause",
        "End the pause of jobs, or the pause of all",
        "acting.unpause",
        "Ends a pause at once. --all ends the pause of all; jobs that were paused by"
        " name stay paused. While all jobs are paused, one whose own pause ends stays"
        " so, too.",
        (JOBS_OR_ALL, Argument(("--all",), "end the pause of all jobs")),
        (
            ("pgagent unpause nightly", "go on with it"),
            ("pgagent unpause --all", "go on with the rest"),
        ),
        level="operator",
        prints_rows=True,
    ),
    Verb(
        "alerts",
        "List who is told of what, or what was told",
        "telling.list_alerts",
        "Prints a line for each alert: which events of which jobs it tells, by which"
        " channel, and how many wait to be sent. With --log a line for each event of"
        " the last 30 days, the latest first: pending, sending, sent, failed (given"
        " up), or silenced. Alerts are made in SQL: pgagent.add_alert().",
        (
            Argument(("--log",), "print what was told, or is to be"),
            Argument(("--failed",), "only what could not be sent so far"),
            Argument(
                ("-n", "--limit"),
                "print at most so many events; 20 by default",
                metavar="N",
                kind=whole(1, _MOST),
                default=20,
            ),
        ),
        (
            ("pgagent alerts", "who is told of what"),
            ("pgagent alerts --log -n 50", "was I told of that?"),
        ),
        prints_rows=True,
    ),
    Verb(
        "test-alert",
        "Have an alert tell a test",
        "telling.try_alert",
        "Has an alert send a message that says it is a test, on the same way as any"
        " other: by a runner whose pgagent.toml has the channel, or by `pgagent"
        " send-alerts`. Prints the id of the event.",
        (Argument(("alert",), "the name of the alert", metavar="ALERT"),),
        (("pgagent test-alert 'on call'", "does it reach me?"),),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "silence",
        "Have nobody told of jobs for a while",
        "telling.silence",
        "Jobs run as ever, and nobody is told of them. What happens is in `pgagent"
        " alerts --log`, and what is still wrong when the silence ends is told then. A"
        f" second silence takes the place of the first.\n\n{_TIMES}",
        (
            JOBS_OR_ALL,
            Argument(
                ("--all",), "of all jobs, new ones too, and of what concerns no job"
            ),
            UNTIL,
            FOR,
            REASON,
        ),
        (
            ("pgagent silence nightly --for '2 hours'", "I know, and am at it"),
            ("pgagent silence --all --until '2099-01-31 06:00'", "maintenance"),
        ),
        level="operator",
        prints_rows=True,
    ),
    Verb(
        "unsilence",
        "End the silence of jobs, or that of all",
        "telling.unsilence",
        "Ends a silence at once. --all ends the silence of all; jobs that were silenced"
        " by name stay so.",
        (JOBS_OR_ALL, Argument(("--all",), "end the silence of all jobs")),
        (("pgagent unsilence nightly", "tell me again"),),
        level="operator",
        prints_rows=True,
    ),
    Verb(
        "copy",
        "Make a job like another one",
        "acting.copy",
        "Makes a job with the steps, schedules and exceptions of another one. It is"
        " disabled, unless --enable is given. Its owner is who would own a new job.",
        (
            JOB,
            Argument(("name",), "the name of the new job", metavar="NAME"),
            Argument(("--enable",), "have its schedules start it at once"),
        ),
        (("pgagent copy nightly 'nightly, new'", "to try something out"),),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "delete-log",
        "Delete old runs from the log",
        "acting.delete_log",
        "Deletes what the log has of runs that have ended. That can't be taken back: it"
        " asks first, and where there is no terminal it wants --yes. Usually the log is"
        " kept short by keep_for and keep_runs of each job, and nobody has to.\n\n"
        f"{_TIMES} --before takes a span of time as well: '90 days' is that long ago.",
        (
            JOBS_OR_ALL,
            Argument(("--all",), "of all jobs"),
            Argument(
                ("--before",),
                "runs that began before this time; now by default",
                metavar="TIME",
            ),
            Argument(
                ("--keep",),
                "but not the latest so many of each job",
                metavar="N",
                kind=whole(0, _MOST),
                default=0,
            ),
            YES,
        ),
        (
            (
                "pgagent delete-log nightly --before '90 days' --keep 10 --yes",
                "what is old, but the latest ten",
            ),
        ),
        level="admin",
        prints_rows=True,
    ),
    Verb(
        "import",
        "Import jobs of pg_timetable, pg_cron or crontabs",
        "importing.import_jobs",
        "Reads the jobs of another scheduler and prints them as a file of jobs, TOML."
        " Whatever differs from what it was is named, with the job and the reason, on"
        " standard error and at the top of the file. With --apply it makes the jobs: it"
        " shows what that changes, and asks first; a job whose name is taken is left"
        " alone. The other scheduler is left as it is, and goes on running its jobs"
        " until they are removed there. docs/importing.md says what becomes of what.",
        (
            Argument(
                ("source",),
                "where the jobs come from",
                choices=("pg_timetable", "pg_cron", "crontab"),
            ),
            Argument(
                ("files",),
                "a crontab, or - for standard input",
                metavar="FILE",
                nargs="*",
                completes="files",
            ),
            Argument(
                ("--from",),
                "the database that has pg_timetable or pg_cron, if it is another one"
                " than -d",
                metavar="CONNINFO",
                dest="database_from",
            ),
            Argument(
                ("--output", "-o"),
                "write into this file instead of standard output",
                metavar="FILE",
                completes="files",
                excludes="target",
            ),
            Argument(("--apply",), "make the jobs at once", excludes="target"),
            Argument(
                ("--replace",), "with --apply, change jobs of the same names, too"
            ),
            Argument(("--disabled",), "have all jobs be disabled"),
            Argument(
                ("--client",),
                "of pg_timetable: only the chains that this client would run",
                metavar="NAME",
            ),
            Argument(
                ("--user",),
                "of pg_cron: only this role's jobs; of crontabs of the system: the user"
                " that the runner's scripts run as",
                metavar="NAME",
            ),
            Argument(
                ("--timezone",),
                "of crontabs: the time zone of their times, by default this machine's",
                metavar="ZONE",
            ),
            Argument(
                ("--system",), "of crontabs: there is a user's name before each command"
            ),
            YES,
        ),
        (
            (
                "pgagent import pg_timetable --output chains.toml",
                "see what would become of its chains",
            ),
            ("pgagent import pg_cron --apply --disabled --yes", "make them, for later"),
            ("pgagent import crontab /etc/crontab --user root", "of the whole system"),
        ),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "init",
        "Install the catalogue where no extension can be",
        "install.init_catalogue",
        "Make the schema pgagent, with its tables and functions, in a database on whose"
        " server no extension can be installed. The login needs CREATE on the database"
        " and becomes the owner. A schema that is there already is left as it is."
        f" {_ONE_TRANSACTION}",
        (DRY_RUN, CONNINFO),
        level="",
    ),
    Verb(
        "update",
        "Update a catalogue that is no extension",
        "install.update_catalogue",
        "Bring a schema pgagent that was made without CREATE EXTENSION, by `pgagent"
        " init` or by the script of pgAgent 3.4 to 4.2, to this version."
        f" {_ONE_TRANSACTION}",
        (DRY_RUN, CONNINFO),
        level="",
    ),
    Verb(
        "export",
        "Print the definitions of jobs as a file",
        "files.export",
        "Prints jobs with their steps, schedules and exceptions as TOML, to be kept,"
        " compared, and applied to this database or another one: docs/files.md has the"
        " format. Passwords are left out, which is said. With --output a file is"
        " written; of one that is there, comments and spellings stay and only what"
        " differs is changed, which takes tomlkit: pipx inject pgagent-runner tomlkit,"
        " or pip install 'pgagent-runner[files]'.",
        (
            Argument(
                ("jobs",),
                "the name of a job; all that you may see, if there is none",
                metavar="JOB",
                nargs="*",
                completes="jobs",
            ),
            Argument(
                ("--output", "-o"),
                "write to a file instead",
                metavar="FILE",
                completes="files",
            ),
            Argument(
                ("--command-files",),
                "put each command into a file of its own, beside a new file:"
                " FILE/JOB/STEP.sql",
            ),
        ),
        (
            ("pgagent export", "all jobs"),
            ("pgagent export nightly --output nightly.toml", "one job, to a file"),
        ),
        level="editor",
    ),
    Verb(
        "plan",
        "Show what applying a file would change",
        "files.plan",
        "Prints in what the jobs of a file differ from those of the database, long"
        " texts line by line, and changes nothing.",
        (FILE, PRUNE),
        (("pgagent plan nightly.toml", "what apply would do"),),
        level="editor",
        prints_rows=True,
        exits=((2, "they differ"),),
    ),
    Verb(
        "apply",
        "Have jobs be what a file says",
        "files.apply",
        "Makes, changes and drops jobs and their steps, schedules and exceptions until"
        " they are what the file says; jobs that it does not have stay. Shows the plan"
        f" and asks first. {_ONE_TRANSACTION}",
        (FILE, PRUNE, YES),
        (("pgagent apply nightly.toml --yes", "without being asked"),),
        level="editor",
        prints_rows=True,
    ),
    Verb(
        "check",
        "Look whether everything is all right, and say what puts it right",
        "check.check",
        "To be called on the runner's machine, as the runner's user, with the options,"
        " the variables and the file that the runner has. Prints a line for each thing"
        " that was looked at: ok, a warning (jobs run all the same) or a fault (they do"
        " not, or not as they should), and with both the command that puts it right."
        " Nothing is changed, and everything has its time: each place where steps run"
        " is connected to once, for five seconds at most.",
        (
            Argument(
                ("--quiet", "-q"),
                "print warnings and faults only: nothing, if there are none",
            ),
            Argument(
                ("-d", "--dbname"),
                "the database that has the schema pgagent: its name, or a connection"
                " string. Without it that of the runner: PGAGENT_CONNINFO, or conninfo"
                " in pgagent.toml, or what libpq takes by default",
                metavar="CONNINFO",
            ),
            *_as_to_the_runner(
                *("config", "station", "workers", "log_file", "env", "batch_user"),
                *("allow_parameter", "allow_clear_password"),
            ),
        ),
        (
            ("pgagent check", "everything"),
            ("pgagent check --quiet", "for cron, which mails what is printed"),
        ),
        level="runner",
        prints_rows=True,
        has_database=False,
        exits=((1, "there is a fault"),),
    ),
    Verb(
        "send-alerts",
        "Send the messages of alerts that wait",
        "alerting.send_alerts",
        "Decides what people have to be told, and sends it through the channels of"
        " pgagent.toml: [channels.NAME], see docs/alerts.md. A runner whose file has"
        " channels does the same by itself; from cron, it also tells that no runner is"
        " alive. Messages for channels that the file does not have are left to others."
        "\n\nAn attempt takes ten seconds at most, and all of it a minute. What could"
        " not be sent is said on standard error and in pgagent.alert_log, and is tried"
        " again later: 10 seconds after the first attempt, then twice as long each"
        " time, up to an hour. The exit code is 0 then, too; it is 2 if the file has a"
        " channel that makes no sense.",
        (Argument(("--verbose",), "say what was sent, too"),),
        (
            ("pgagent send-alerts", "send what waits"),
            ("pgagent send-alerts --verbose", "and say what that was"),
        ),
        level="runner",
    ),
    Verb(
        "completion",
        "Print the completion of a shell",
        "completion.print_completion",
        "Prints what has bash, zsh or fish complete verbs, options, jobs and runs."
        " Packages install it where the shell looks; by hand, `source <(pgagent"
        " completion bash)` in .bashrc does.",
        (
            Argument(
                ("shell",), "the shell", choices=("bash", "zsh", "fish"), nargs="?"
            ),
            Argument(
                ("--names",),
                "print what is in the database instead, for completion: jobs or runs",
                choices=("jobs", "runs"),
            ),
        ),
        (("pgagent completion bash", "for bash"),),
    ),
)

BY_NAME = {verb.name: verb for verb in VERBS}


def overview() -> str:
    """Return the list of verbs that `pgagent --help` shows."""
    longest = max(len(verb.name) for verb in VERBS)
    lines = [f"  {verb.name.ljust(longest)}  {verb.summary}" for verb in VERBS]
    return "\n".join(["verbs:", *lines, "", "'pgagent VERB --help' tells more."])


def refusal(word: str) -> str:
    """Return the sentence for a word that is no verb."""
    others = () if word == "help" else BY_NAME
    near = difflib.get_close_matches(word, others, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f"{word!r} is no verb, and a connection string has a =; {hint}"
        f"the verbs are {', '.join(BY_NAME)}, and pgagent --help tells more"
    )
