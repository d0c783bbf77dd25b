return answer(
    send_mail, p_settings_path, p_recipients, p_subject, p_body, p_sender, p_timeout
)
$python$;
COMMENT ON FUNCTION pgagent.pga_send_mail(text, text[], text, text, text, double precision) IS
'Sends a mail by the settings in this file; its Message-ID, for pga_answer().';
REVOKE ALL ON FUNCTION pgagent.pga_send_mail(text, text[], text, text, text, double precision) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgagent.send_mail(
    recipients text[], subject text, body text, sender text DEFAULT NULL,
    timeout interval DEFAULT '30 seconds'
)
RETURNS text LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgagent.pga_answer(pgagent.pga_send_mail(
        pgagent.pga_settings_path(), $1, $2, $3, $4, extract(epoch FROM $5)::double precision
    )) #>> '{}'
$$;
COMMENT ON FUNCTION pgagent.send_mail(text[], text, text, text, interval) IS
'Sends a mail, encrypted, by the server that [mail] in the settings file names (pgagent.mail_config in postgresql.conf, or PGAGENT_MAIL_CONFIG in the server''s environment). timeout: for each answer of that server. Returns the Message-ID. Raises 22023 for a wrong argument, 55000 if the settings are missing or open to others, 08001 and 08006 if the connection fails, 28000 for a wrong password, 38000 if the mail is refused, also by one recipient. Example: SELECT pgagent.send_mail(ARRAY[''dba@example.com''], ''Report'', ''All is well.'').';
REVOKE ALL ON FUNCTION pgagent.send_mail(text[], text, text, text, interval) FROM PUBLIC;

