-- mail.sql: mail from a step.

CREATE FUNCTION pgagent.send_mail(
    recipients text[], subject text, body text, sender text DEFAULT 'pgagent@localhost',
    server text DEFAULT 'smtp://localhost', credentials text DEFAULT NULL,
    timeout double precision DEFAULT 30
)
RETURNS void LANGUAGE plpython3u
SET search_path = pg_catalog, pg_temp
AS $python$
-- include refusal.py
-- include secret.py
-- include privilege.py
-- include limited.py
-- include mail.py
try:
    if not recipients or not all(recipients):
        raise RefusalError("there is no recipient", "Wanted is an array of addresses.")
    send(message(sender or "", recipients, subject or "", body or ""), server or "",
         secret(credentials, may_read_secrets()), timeout)
except RefusalError as e:
    plpy.error(f"pgagent: send_mail: {e}", detail=e.detail, sqlstate="22023")
except (OSError, smtplib.SMTPException) as e:
    plpy.error(f"pgagent: send_mail: {type(e).__name__}: {e}", sqlstate="08000",
               detail=f"The server is {server}, the time limit {timeout:g} s.")
$python$;
REVOKE ALL ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) FROM PUBLIC;
COMMENT ON FUNCTION pgagent.send_mail(text[], text, text, text, text, text, double precision) IS
'Sends a mail from the database server: smtps://host, or smtp://host with STARTTLS where that is offered; certificates are verified. credentials: where user:password is, file:/path (mode 0600) or env:NAME on the server, and sent through TLS only. Only members of pg_read_server_files may name credentials. timeout in seconds, for each connection and then for all of it. Raises 22023 for what is not allowed, 08000 if the server does not take the mail for each recipient. Not for PUBLIC. Example: SELECT pgagent.send_mail(''{dba@example.org}'', ''backup'', ''done'', server => ''smtp://mail.example.org'').';

