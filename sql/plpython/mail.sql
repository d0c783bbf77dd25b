-- mail.sql: mail from a step.

CREATE FUNCTION pgagent.send_mail(
    recipients text[], subject text, body text, sender text DEFAULT 'pgagent@localhost',
    server text DEFAULT 'smtp://localhost', credentials text DEFAULT NULL,
    timeout double precision DEFAULT 30
)
RETURNS void LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include python/src/pgagent_runner/sending/refusal.py
-- include secret.py
-- include privilege.py
-- include python/src/pgagent_runner/sending/limited.py
-- include python/src/pgagent_runner/sending/smtp.py
-- include mail.py
return send_mail(recipients, subject, body, sender, server, credentials, timeout)
$python$;
REVOKE ALL ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) IS
'Sends a mail from the database server: smtps://host, or smtp://host with STARTTLS where that is offered; certificates are verified. credentials: where user:password is, file:/path (mode 0600) or env:NAME on the server, and sent through TLS only. Only members of pg_read_server_files may name credentials. timeout in seconds, for each connection and then for all of it. Raises 22023 for what is not allowed, 08000 if the server does not take the mail for each recipient. Not for PUBLIC. Example: SELECT pgagent.send_mail(''{dba@example.org}'', ''backup'', ''done'', server => ''smtp://mail.example.org'').';

