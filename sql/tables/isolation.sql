-- isolation.sql: are the teams that share this catalogue kept apart?

CREATE TABLE pgagent.pga_isolation (
    isoid boolean NOT NULL PRIMARY KEY DEFAULT true
        CONSTRAINT pga_isolation_isoid_check CHECK (isoid),
    isosince timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    isoby name NOT NULL DEFAULT CURRENT_USER
);

COMMENT ON TABLE pgagent.pga_isolation IS
'One row if the catalogue is isolated: written by pgagent.isolate(), and dumped, since a dump does not say that row security is enabled.';
COMMENT ON COLUMN pgagent.pga_isolation.isoid IS 'Lets there be one row at most.';
COMMENT ON COLUMN pgagent.pga_isolation.isosince IS 'Since when.';
COMMENT ON COLUMN pgagent.pga_isolation.isoby IS 'Who isolated it.';

