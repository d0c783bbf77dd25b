-- arming.sql: where this catalogue may start jobs. A copy of it brings the row of the
-- original along, by which it is known for a copy: see functions/state/arming.sql.

CREATE TABLE pgagent.pga_arming (
    armid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    armsystem bigint,
    armdatabaseid oid NOT NULL,
    armtableid oid NOT NULL,
    armdatabase text NOT NULL,
    armport integer NOT NULL,
    armaddress inet,
    armstation text,
    armedat timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    armedby text NOT NULL DEFAULT CURRENT_USER,
    armrestored timestamptz
);

COMMENT ON TABLE pgagent.pga_arming IS
'Where the jobs are armed: one row, dumped with them. Elsewhere, which is where neither identity nor place are those of this row, nothing is started until pgagent.arm().';
COMMENT ON COLUMN pgagent.pga_arming.armid IS 'Names the row, so that one from a dump is told from the one that CREATE EXTENSION has made.';
COMMENT ON COLUMN pgagent.pga_arming.armsystem IS 'Identity: the system identifier of the server (pg_control_system()); NULL if that could not be read.';
COMMENT ON COLUMN pgagent.pga_arming.armdatabaseid IS 'Identity: the object id of the database.';
COMMENT ON COLUMN pgagent.pga_arming.armtableid IS 'Identity: the object id of this table, for servers whose system identifier can''t be read.';
COMMENT ON COLUMN pgagent.pga_arming.armdatabase IS 'Place: the name of the database.';
COMMENT ON COLUMN pgagent.pga_arming.armport IS 'Place: the port by which the last runner that registered reaches the server.';
COMMENT ON COLUMN pgagent.pga_arming.armaddress IS 'Place: the address of the server, as the last runner elsewhere has seen it; NULL: none has.';
COMMENT ON COLUMN pgagent.pga_arming.armstation IS 'Place: the host of the last runner that has reached the server by a socket, a loopback address or one that is private to its host; NULL: none has.';
COMMENT ON COLUMN pgagent.pga_arming.armedat IS 'When it was armed.';
COMMENT ON COLUMN pgagent.pga_arming.armedby IS 'Who armed it.';
COMMENT ON COLUMN pgagent.pga_arming.armrestored IS 'When a dump has brought rows whose runs under way no runner has looked at yet; NULL: never, or one has.';

