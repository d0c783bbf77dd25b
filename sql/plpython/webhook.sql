-- webhook.sql: telling other programs from a step.

CREATE FUNCTION pgagent.post_webhook(
    url text, payload jsonb, credentials text DEFAULT NULL, timeout double precision DEFAULT 30
)
RETURNS integer LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include python/src/pgagent_runner/sending/refusal.py
-- include secret.py
-- include privilege.py
-- include python/src/pgagent_runner/sending/limited.py
-- include python/src/pgagent_runner/sending/posting.py
-- include webhook.py
return post_webhook(url, payload, credentials, timeout)
$python$;
REVOKE ALL ON FUNCTION pgagent.post_webhook(text, jsonb, text, double precision) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.post_webhook(text, jsonb, text, double precision) IS
'Posts JSON to a URL from the database server and returns the status of the answer, 200 to 299; certificates are verified, redirections are not followed. credentials: where the value of the header Authorization is, file:/path (mode 0600) or env:NAME on the server, and sent to https only; only members of pg_read_server_files may name credentials. timeout in seconds, for each connection and then for all of it. Raises 22023 for what is not allowed, 08000 if the receiver can''t be reached or does not take it. Not for PUBLIC. Example: SELECT pgagent.post_webhook(''https://example.org/hook'', ''{"job": "etl"}'').';

