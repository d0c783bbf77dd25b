return answer(
    post_webhook, p_settings_path, p_url, p_payload, p_headers, p_timeout, p_secret
)
$python$;
COMMENT ON FUNCTION pgagent.pga_post_webhook(text, text, jsonb, jsonb, double precision, text) IS
'Posts JSON, with a secret from this settings file; status and body of the answer, for pga_answer().';
REVOKE ALL ON FUNCTION pgagent.pga_post_webhook(text, text, jsonb, jsonb, double precision, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgagent.post_webhook(
    url text, payload jsonb, headers jsonb DEFAULT '{}', timeout interval DEFAULT '10 seconds',
    secret text DEFAULT NULL, OUT status integer, OUT body text
)
RETURNS record LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (a.answer ->> 'status')::integer, a.answer ->> 'body'
    FROM pgagent.pga_answer(pgagent.pga_post_webhook(
        pgagent.pga_settings_path(), $1, $2, $3, extract(epoch FROM $4)::double precision, $5
    )) AS a (answer)
$$;
COMMENT ON FUNCTION pgagent.post_webhook(text, jsonb, jsonb, interval, text) IS
'Posts JSON to a URL: https, or http to this machine and to hosts that the settings allow. No redirects are followed. secret: the section [webhook:NAME] of the settings file (see send_mail) that has the URL, which then may be NULL here, and headers. timeout: for each answer of the server. Returns the status, 200 to 299, and up to 64 KiB of the body. Raises 38000 for any other status, 22023 for a wrong argument, 55000 if the settings are missing or open to others, 08001 and 08006 if the connection fails. Example: SELECT status FROM pgagent.post_webhook(NULL, ''{"text": "All is well."}'', secret => ''slack'').';
REVOKE ALL ON FUNCTION pgagent.post_webhook(text, jsonb, jsonb, interval, text) FROM PUBLIC;

