-- comments.sql: what each table and column is, and those indexes and constraints whose
-- definition does not say what they are for.

COMMENT ON SCHEMA pgagent IS 'pgAgent job scheduler';

COMMENT ON TABLE pgagent.pga_jobagent IS
'The agents that are running: one row for each, written and deleted by themselves or by those that find them dead.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagpid IS 'Process id of the agent''s session on this server; what pga_job.jobagentid refers to.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglogintime IS 'When the agent registered.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagstation IS 'Host name of the agent: it executes jobs whose jobhostagent is this name or empty.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagbackendstart IS 'When the agent''s session began: with jagpid its identity, since process ids are used again. NULL if unknown.';
COMMENT ON COLUMN pgagent.pga_jobagent.jaglease IS 'Until when the agent counts as alive unless it renews this; NULL for pgAgent''s own daemon, which has no lease.';
COMMENT ON COLUMN pgagent.pga_jobagent.jagrunner IS 'Names the process, whose sessions come and go; NULL for pgAgent''s own daemon, and when the process has registered anew: then it is not dead, only this session is.';

COMMENT ON TABLE pgagent.pga_jobsession IS
'The sessions on this server in which agents execute SQL steps; whoever finds an agent dead ends them.';
COMMENT ON COLUMN pgagent.pga_jobsession.jsspid IS 'Process id of the session.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssagentid IS 'The agent.';
COMMENT ON COLUMN pgagent.pga_jobsession.jssbackendstart IS 'When the session began: with jsspid its identity.';

COMMENT ON TABLE pgagent.pga_jobclass IS
'Classes of jobs, by which people sort them; the scheduler treats all classes alike.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclid IS 'Id of the class.';
COMMENT ON COLUMN pgagent.pga_jobclass.jclname IS 'Its name, unique.';

COMMENT ON TABLE pgagent.pga_job IS
'Jobs: what runs at the times of its schedules, step by step.';
COMMENT ON COLUMN pgagent.pga_job.jobid IS 'Id of the job.';
COMMENT ON COLUMN pgagent.pga_job.jobjclid IS 'Its class.';
COMMENT ON COLUMN pgagent.pga_job.jobname IS 'Its name; need not be unique.';
COMMENT ON COLUMN pgagent.pga_job.jobdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_job.jobhostagent IS 'Host name of the only agent that may execute the job, exactly as in pga_jobagent.jagstation; empty: any.';
COMMENT ON COLUMN pgagent.pga_job.jobenabled IS 'Whether schedules start the job. A disabled job still runs once when jobnextrun is set.';
COMMENT ON COLUMN pgagent.pga_job.jobcreated IS 'When the job was created.';
COMMENT ON COLUMN pgagent.pga_job.jobchanged IS 'When the job, a step, a schedule or an exception of it was last changed.';
COMMENT ON COLUMN pgagent.pga_job.jobagentid IS 'Agent that currently executes this job; NULL: none. Written by agents only.';
COMMENT ON COLUMN pgagent.pga_job.jobnextrun IS 'When the job is due, kept by triggers. Set it to now() to run the job at once, to NULL to have it computed from the schedules.';
COMMENT ON COLUMN pgagent.pga_job.joblastrun IS 'When the last run began.';
COMMENT ON COLUMN pgagent.pga_job.jobrunid IS 'The id that run_job() has promised for the next run; NULL: none.';
COMMENT ON COLUMN pgagent.pga_job.jobfromstep IS 'The step from which the next run begins, if run_job() was told so; NULL: the first.';
COMMENT ON COLUMN pgagent.pga_job.jobtimeout IS 'How long a run may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_job.joboverlap IS 'What becomes of a time of its schedules that passes while the job is running: skip=it is left out, queue=the job runs again when it has ended.';
COMMENT ON COLUMN pgagent.pga_job.jobmissed IS 'What becomes of the times that pass while no runner can take the job: latest=one run makes up for all, skip=they are left out, all=a run for each of the latest hundred.';
COMMENT ON COLUMN pgagent.pga_job.jobmissedlimit IS 'How late a run may begin: a time longer ago than this is left out. NULL: as late as need be; a minute where jobmissed is skip.';
COMMENT ON COLUMN pgagent.pga_job.jobdeaths IS 'How many runners in a row have died while they executed this job; three disable it.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepfor IS 'How long its runs are kept in the log; NULL: for ever.';
COMMENT ON COLUMN pgagent.pga_job.jobkeepruns IS 'How many of its latest runs are kept in the log; NULL: all.';
COMMENT ON INDEX pgagent.pga_job_due IS 'The due jobs, in the order in which they fell due.';
COMMENT ON CONSTRAINT pga_job_jobagentid_fkey ON pgagent.pga_job IS 'An agent''s jobs are free when its row is deleted.';

COMMENT ON TABLE pgagent.pga_jobstep IS
'Steps of jobs, executed in the order of their names.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstid IS 'Id of the step.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstjobid IS 'The job it belongs to.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstname IS 'Its name: steps are executed in the order of names, those of one name in the order of ids.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstenabled IS 'Whether it is executed.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstkind IS 'Kind of step: s=SQL, b=batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstcode IS 'SQL commands, sent as one query; or a script, run by the interpreter that its first line names (#!), else by /bin/sh.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstconnstr IS 'For SQL: a libpq connection string to any database; empty: jstdbname says where. It takes precedence over jstdbname.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstdbname IS 'For SQL: a database on the agent''s own server; empty: jstconnstr says where.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstonerror IS 'What a failure does: f=the job fails and stops, s=the step counts as succeeded, i=the failure is logged and ignored.';
COMMENT ON COLUMN pgagent.pga_jobstep.jscnextrun IS 'Not used; pgAdmin reads it.';
COMMENT ON COLUMN pgagent.pga_jobstep.jsttimeout IS 'How long the step may take before it is stopped and fails; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretries IS 'How many more times the step is tried if it fails for a reason in jstretryon.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrydelay IS 'How long to wait before the first retry.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretrybackoff IS 'How many times longer to wait before each further retry: 1=always the same, 2=twice as long.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstretryon IS 'After what to try again: SQLSTATEs or their first two characters, exit codes, ''connection'', ''timeout'', ''any''. NULL: lost connections, 40001, 40P01, 55P03 and 57P01 to 57P03 for SQL; any exit code for batch.';
COMMENT ON COLUMN pgagent.pga_jobstep.jstmode IS 'How an SQL step is sent: single=as one query, in one transaction unless it says otherwise; autocommit=statement by statement, each on its own; atomic=in one transaction with its own log row, in the database of the jobs only.';
COMMENT ON CONSTRAINT pga_jobstep_check ON pgagent.pga_jobstep IS 'Only SQL steps have a connection string, and they have it or a database.';
COMMENT ON CONSTRAINT pga_jobstep_check1 ON pgagent.pga_jobstep IS 'Only SQL steps have a database, and they have it or a connection string.';

COMMENT ON TABLE pgagent.pga_schedule IS
'Schedules of jobs: a job runs at the times of all its enabled schedules. A time matches if minute, hour, weekday, day and month all do; a field in which nothing is selected always matches.';
COMMENT ON COLUMN pgagent.pga_schedule.jscid IS 'Id of the schedule.';
COMMENT ON COLUMN pgagent.pga_schedule.jscjobid IS 'The job that it starts.';
COMMENT ON COLUMN pgagent.pga_schedule.jscname IS 'Its name.';
COMMENT ON COLUMN pgagent.pga_schedule.jscdesc IS 'A description.';
COMMENT ON COLUMN pgagent.pga_schedule.jscenabled IS 'Whether it starts the job.';
COMMENT ON COLUMN pgagent.pga_schedule.jscstart IS 'It does not start the job before this time; -infinity: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscend IS 'It does not start the job after this time; NULL: no limit.';
COMMENT ON COLUMN pgagent.pga_schedule.jscminutes IS 'The minutes of the hour, 0 to 59.';
COMMENT ON COLUMN pgagent.pga_schedule.jschours IS 'The hours of the day, 0 to 23. A schedule that selects all or none follows the clock when it is put forward or back; one that names its hours runs once for each.';
COMMENT ON COLUMN pgagent.pga_schedule.jscweekdays IS 'The days of the week, Sunday first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonthdays IS 'The days of the month, 1 to 31; the 32nd is the last day, whichever it is.';
COMMENT ON COLUMN pgagent.pga_schedule.jscmonths IS 'The months, January first.';
COMMENT ON COLUMN pgagent.pga_schedule.jscevery IS 'If set, the schedule starts the job at jscstart and then at this interval, whatever the fields select; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscat IS 'If set, the schedule starts the job once, at this time, and is then disabled; a change of the fields empties it.';
COMMENT ON COLUMN pgagent.pga_schedule.jscreboot IS 'If true, the schedule starts the job whenever an agent starts; a change of the fields resets it.';
COMMENT ON COLUMN pgagent.pga_schedule.jsctimezone IS 'The IANA time zone in which the fields and the exceptions are meant. The default was taken from the database''s setting when this column was created.';
COMMENT ON CONSTRAINT pga_schedule_kind_check ON pgagent.pga_schedule IS 'Fields, an interval, one time or the start of an agent: a schedule is of one kind.';

COMMENT ON TABLE pgagent.pga_exception IS
'Exceptions: when a schedule does not start its job although its fields match.';
COMMENT ON COLUMN pgagent.pga_exception.jexid IS 'Id of the exception.';
COMMENT ON COLUMN pgagent.pga_exception.jexscid IS 'The schedule.';
COMMENT ON COLUMN pgagent.pga_exception.jexdate IS 'The date, in the schedule''s time zone; NULL: every day.';
COMMENT ON COLUMN pgagent.pga_exception.jextime IS 'The time of day, to the minute; NULL: the whole day.';
COMMENT ON INDEX pgagent.pga_exception_datetime IS 'No exception twice in one schedule; two schedules may have the same one.';

COMMENT ON TABLE pgagent.pga_joblog IS
'Runs of jobs, past and present.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgid IS 'Id of the run.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstatus IS 'Status of the run: r=running, s=successfully finished, f=failed, i=no steps to execute, d=aborted.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstart IS 'When the run began.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgagentid IS 'The agent that executed it: its pga_jobagent.jagpid at that time.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgstation IS 'The host of that agent.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgscheduled IS 'When the run was due.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgmessage IS 'One sentence why the run ended as it did; NULL after success.';
COMMENT ON COLUMN pgagent.pga_joblog.jlgcancel IS 'Who has asked for the run to be stopped, and when; NULL: nobody.';
COMMENT ON INDEX pgagent.pga_joblog_jobid IS 'The runs of a job, the latest first, with their status.';

COMMENT ON TABLE pgagent.pga_jobsteplog IS
'Steps of runs, past and present.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljlgid IS 'The run.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsljstid IS 'The step.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstatus IS 'Status of the step: r=running, s=successfully finished, f=failed stopping job, i=ignored failure, d=aborted.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslresult IS 'Return code of the step: for SQL the number of rows that the last command touched, -1 after an error; for batch the exit code of the script, -N if signal N killed it.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslstart IS 'When the step began.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslduration IS 'How long it took; NULL while it is running.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jsloutput IS 'For SQL the notices, the result of each command and the error; for batch what the script wrote.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslattempt IS 'The number of this attempt at the step in this run, from 1.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslcpu IS 'How long the script and what it has started used a processor; NULL unless a script has ended.';
COMMENT ON COLUMN pgagent.pga_jobsteplog.jslmemory IS 'The most memory, in bytes, that one of its processes had resident; NULL unless a script has ended.';

COMMENT ON TABLE pgagent.pga_jobskip IS
'Times of jobs that have passed without a run, and why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskid IS 'Id of this row.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskjobid IS 'The job.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskfrom IS 'The first time that was left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskuntil IS 'All its times up to here were left out.';
COMMENT ON COLUMN pgagent.pga_jobskip.jskreason IS 'One sentence why.';
COMMENT ON COLUMN pgagent.pga_jobskip.jsklogged IS 'When that was decided.';

