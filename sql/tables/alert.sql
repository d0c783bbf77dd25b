-- alert.sql: who is told of what (pga_alert), what is told and how far that has come
-- (pga_alertevent), what lasts (pga_alertstate), and of what nobody is told for now.

CREATE TABLE pgagent.pga_alert (
    altid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    altname text NOT NULL UNIQUE,
    altchannel text NOT NULL,
    altevents text[] NOT NULL
        DEFAULT '{failed,recovered,aborted,late,long,disabled,no_runner,unarmed,set_aside}',
    altjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    altclassid integer
        REFERENCES pgagent.pga_jobclass (jclid) ON DELETE CASCADE ON UPDATE RESTRICT,
    altstartjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE SET NULL ON UPDATE RESTRICT,
    altafterfailures integer NOT NULL DEFAULT 1
        CONSTRAINT pga_alert_altafterfailures_check CHECK (altafterfailures > 0),
    altrepeatevery interval
        CONSTRAINT pga_alert_altrepeatevery_check CHECK (altrepeatevery > interval '0'),
    altenabled boolean NOT NULL DEFAULT true,
    altcreated timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    altby name NOT NULL DEFAULT CURRENT_USER,
    alttest uuid
);
CREATE INDEX pga_alert_job ON pgagent.pga_alert (altjobid) WHERE altjobid IS NOT NULL;
CREATE INDEX pga_alert_startjob ON pgagent.pga_alert (altstartjobid) WHERE altstartjobid IS NOT NULL;

COMMENT ON TABLE pgagent.pga_alert IS
'Alerts: which events of which jobs are told, and by which channel.';
COMMENT ON COLUMN pgagent.pga_alert.altid IS 'Names the row.';
COMMENT ON COLUMN pgagent.pga_alert.altname IS 'Its name.';
COMMENT ON COLUMN pgagent.pga_alert.altchannel IS 'How it is told: notify (NOTIFY pgagent_event), job (altstartjobid is started), or a channel of some runner''s pgagent.toml. No addresses and no secrets.';
COMMENT ON COLUMN pgagent.pga_alert.altevents IS 'Of which events: failed, recovered, aborted, late, skipped, long, disabled, no_runner, unarmed, set_aside.';
COMMENT ON COLUMN pgagent.pga_alert.altjobid IS 'Of this job only; NULL: of all.';
COMMENT ON COLUMN pgagent.pga_alert.altclassid IS 'Of jobs of this class only; NULL: of all.';
COMMENT ON COLUMN pgagent.pga_alert.altstartjobid IS 'The job that is started, if altchannel is job; NULL there: it was dropped.';
COMMENT ON COLUMN pgagent.pga_alert.altafterfailures IS 'That a job has failed, or was aborted, is told at this many in a row.';
COMMENT ON COLUMN pgagent.pga_alert.altrepeatevery IS 'How often what lasts is told again; NULL: it is not.';
COMMENT ON COLUMN pgagent.pga_alert.altenabled IS 'Whether it tells anything.';
COMMENT ON COLUMN pgagent.pga_alert.altcreated IS 'Since when there is it.';
COMMENT ON COLUMN pgagent.pga_alert.altby IS 'Who has last changed it.';
COMMENT ON COLUMN pgagent.pga_alert.alttest IS 'The id of an event that is to try it out; NULL: there is none to be sent.';

CREATE TABLE pgagent.pga_alertstate (
    alsid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    alsaltid uuid NOT NULL
        REFERENCES pgagent.pga_alert (altid) ON DELETE CASCADE ON UPDATE RESTRICT,
    alsjobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    alskind text NOT NULL
        CONSTRAINT pga_alertstate_alskind_check CHECK (alskind IN (
            'failed', 'late', 'long', 'no_runner', 'unarmed', 'set_aside', 'skipped', 'disabled')),
    alssince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    alsended timestamptz,
    alsevent text NOT NULL,
    alsrunid bigint,
    alsmessage text,
    alstold timestamptz,
    alsrepeats integer NOT NULL DEFAULT 0,
    alshour timestamptz,
    alscount integer NOT NULL DEFAULT 0,
    alschanges jsonb NOT NULL DEFAULT '{}',
    UNIQUE (alsaltid, alsjobid, alskind)
);
CREATE UNIQUE INDEX pga_alertstate_all ON pgagent.pga_alertstate (alsaltid, alskind) WHERE alsjobid IS NULL;
CREATE INDEX pga_alertstate_job ON pgagent.pga_alertstate (alsjobid);

COMMENT ON TABLE pgagent.pga_alertstate IS
'What lasts, as each alert knows it: a row for an alert, a job, or none, and a kind. By these rows each thing is told once.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsid IS 'Names the row.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsaltid IS 'The alert.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsjobid IS 'The job; NULL: it concerns all.';
COMMENT ON COLUMN pgagent.pga_alertstate.alskind IS 'What it is: failed (or aborted), late, long, no_runner, unarmed, set_aside, which last; skipped, disabled, which do not.';
COMMENT ON COLUMN pgagent.pga_alertstate.alssince IS 'Since when.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsended IS 'When it ended; NULL: it lasts.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsevent IS 'The event that it began with.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsrunid IS 'The run in question.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsmessage IS 'What was to be said of it.';
COMMENT ON COLUMN pgagent.pga_alertstate.alstold IS 'When it was told last; NULL: it has not been, since it was silenced, or only counted.';
COMMENT ON COLUMN pgagent.pga_alertstate.alsrepeats IS 'How often it was told again.';
COMMENT ON COLUMN pgagent.pga_alertstate.alshour IS 'When the first message of an hour was decided, in which there are two at most.';
COMMENT ON COLUMN pgagent.pga_alertstate.alscount IS 'How many there were in that hour, or would have been.';
COMMENT ON COLUMN pgagent.pga_alertstate.alschanges IS 'How many events were only counted since, by name.';

CREATE TABLE pgagent.pga_alertevent (
    aleid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    aleevent text NOT NULL
        CONSTRAINT pga_alertevent_aleevent_check CHECK (aleevent IN (
            'failed', 'recovered', 'aborted', 'late', 'skipped', 'long', 'disabled', 'no_runner', 'unarmed', 'set_aside',
            'flapping', 'test')),
    aleat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    alealtid uuid NOT NULL,
    alealert text NOT NULL,
    alejobid integer
        REFERENCES pgagent.pga_job (jobid) ON DELETE SET NULL ON UPDATE RESTRICT,
    alejob text,
    alerunid bigint,
    aledata jsonb NOT NULL DEFAULT '{}',
    alestate text NOT NULL DEFAULT 'pending'
        CONSTRAINT pga_alertevent_alestate_check CHECK (alestate IN ('pending', 'sending', 'sent', 'failed', 'silenced')),
    alemessage uuid,
    aleattempts integer NOT NULL DEFAULT 0,
    aledue timestamptz,
    alelease timestamptz,
    alesent timestamptz,
    aleerror text
);
CREATE INDEX pga_alertevent_at ON pgagent.pga_alertevent (aleat);
CREATE INDEX pga_alertevent_job ON pgagent.pga_alertevent (alejobid) WHERE alejobid IS NOT NULL;
-- What is still to be sent: few, among many.
CREATE INDEX pga_alertevent_due ON pgagent.pga_alertevent (aledue) WHERE alestate IN ('pending', 'sending');
CREATE INDEX pga_alertevent_message ON pgagent.pga_alertevent (alemessage) WHERE alemessage IS NOT NULL;

COMMENT ON TABLE pgagent.pga_alertevent IS
'What alerts tell, and how far that has come. Outlives the job and the alert.';
COMMENT ON COLUMN pgagent.pga_alertevent.aleid IS 'Names the event, the same however often it is sent.';
COMMENT ON COLUMN pgagent.pga_alertevent.aleevent IS 'What has happened; flapping: a summary of what was only counted; test: nothing.';
COMMENT ON COLUMN pgagent.pga_alertevent.aleat IS 'When.';
COMMENT ON COLUMN pgagent.pga_alertevent.alealtid IS 'The alert.';
COMMENT ON COLUMN pgagent.pga_alertevent.alealert IS 'Its name at that time.';
COMMENT ON COLUMN pgagent.pga_alertevent.alejobid IS 'The job; NULL: it concerns all, or the job was dropped: its id may become that of somebody else''s.';
COMMENT ON COLUMN pgagent.pga_alertevent.alejob IS 'Its name at that time.';
COMMENT ON COLUMN pgagent.pga_alertevent.alerunid IS 'The run in question.';
COMMENT ON COLUMN pgagent.pga_alertevent.aledata IS 'What else is to be said of it.';
COMMENT ON COLUMN pgagent.pga_alertevent.alestate IS 'pending, sending, sent, failed (given up), silenced (not to be sent).';
COMMENT ON COLUMN pgagent.pga_alertevent.alemessage IS 'The message that it is sent in, named by the first of its events; NULL: it is in none yet.';
COMMENT ON COLUMN pgagent.pga_alertevent.aleattempts IS 'How often a sender has taken it.';
COMMENT ON COLUMN pgagent.pga_alertevent.aledue IS 'When it is to be sent, or again.';
COMMENT ON COLUMN pgagent.pga_alertevent.alelease IS 'Until when the sender that has it may take; after that another may have it.';
COMMENT ON COLUMN pgagent.pga_alertevent.alesent IS 'When it was sent.';
COMMENT ON COLUMN pgagent.pga_alertevent.aleerror IS 'Why it could not be, the last time.';

CREATE TABLE pgagent.pga_jobsilence (
    jsiid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    jsijobid integer UNIQUE
        REFERENCES pgagent.pga_job (jobid) ON DELETE CASCADE ON UPDATE RESTRICT,
    jsiuntil timestamptz NOT NULL DEFAULT 'infinity',
    jsireason text NOT NULL DEFAULT '',
    jsisince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    jsiby name NOT NULL DEFAULT CURRENT_USER
);
-- One row for all jobs at most.
CREATE UNIQUE INDEX pga_jobsilence_all ON pgagent.pga_jobsilence ((jsijobid IS NULL)) WHERE jsijobid IS NULL;

COMMENT ON TABLE pgagent.pga_jobsilence IS
'Silences: a row for a job, or one for all, of which nobody is told until then. The jobs run. One that is over stays a day longer.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsiid IS 'Names the row.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsijobid IS 'The job; NULL: all jobs.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsiuntil IS 'Until when; infinity: until unsilence() or unsilence_all(). In the past: the silence is over.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsireason IS 'Why.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsisince IS 'Since when.';
COMMENT ON COLUMN pgagent.pga_jobsilence.jsiby IS 'Who has silenced it, or has last changed until when.';
